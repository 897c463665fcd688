"""Several readings of one picture, each at another size, to one: place by place they vote on what stands there."""

from collections import defaultdict

import numpy as np
import torch
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from .parts_digit import NOTHING
from .reading_digit import Writing, in_lines

_MIN_SHARED = 0.5  # of the smaller one's area, above which two boxes are the same place
_MIN_SCORE = 1e-7  # or a single reading could rule a label out


def vote(readings: list[tuple[Writing, torch.Tensor]]) -> tuple[Writing, torch.Tensor]:
    """
    Of each place, the readings that see as many characters there as are surest together give their mean answer (Fiscus,
    1997, "A post-processing system to yield reduced word error rates: ROVER").

    Args:
        readings: Of one picture, at least one: its writing, and the scores (K, num_labels) in [0, 1] of each
            character's labels.

    Returns:
        One such reading, with the ink of the first. Its characters' scores are lower the less the readings agree on how
        many there are.
    """
    writings = [writing for writing, _ in readings]
    boxes, is_one = (np.concatenate([getattr(each, name) for each in writings]) for name in ("boxes", "scores"))
    frames, labels = torch.cat([each.frames for each in writings]), torch.cat([scores for _, scores in readings])
    reading = np.repeat(np.arange(len(writings)), [len(each.boxes) for each in writings])
    sure = labels.amax(-1).numpy() * is_one
    voted = [(np.zeros(0, dtype=int), np.zeros(0), labels[:0])]
    for place in _places(boxes):
        agreeing, share = _agreeing([place[reading[place] == number] for number in range(len(writings))], sure)
        if agreeing.size:
            mean = labels[agreeing].clamp(min=_MIN_SCORE).log().mean(0).softmax(-1)
            for_answer = labels[agreeing, mean.argmax(-1)]
            best = agreeing[for_answer.argmax(0).numpy(), np.arange(agreeing.shape[1])]
            voted.append((best, share * is_one[agreeing].mean(0), mean))
    best, is_one, labels = (
        join(parts) for join, parts in zip((np.concatenate, np.concatenate, torch.cat), zip(*voted))
    )
    height, width = writings[0].ink.shape
    order, lines = in_lines(boxes[best][:, [1, 0, 3, 2]] * [height, width, height, width])
    best = best[order]
    return Writing(boxes[best], is_one[order], frames[best], lines, writings[0].ink), labels[order]


def _places(boxes: np.ndarray) -> list[np.ndarray]:
    """Left, top, right and bottom (K, 4) -> the numbers of those boxes that lie in the same place, of each place."""
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)

    def in_same_place(number: int) -> np.ndarray:
        first, last = np.maximum(boxes[number, :2], boxes[:, :2]), np.minimum(boxes[number, 2:], boxes[:, 2:])
        shared = (last - first).clip(min=0).prod(1)
        return np.flatnonzero(shared > _MIN_SHARED * np.minimum(area[number], area))

    neighbours = [in_same_place(number) for number in range(len(boxes))]
    ends = np.cumsum([0, *map(len, neighbours)])
    graph = csr_array((np.ones(ends[-1]), np.concatenate(neighbours), ends), shape=(len(boxes), len(boxes)))
    count, places = connected_components(graph, directed=False)
    return [np.flatnonzero(places == place) for place in range(count)]


def _agreeing(characters: list[np.ndarray], sure: np.ndarray) -> tuple[np.ndarray, float]:
    """
    The characters (K,) that each reading sees in a place, and how sure it is of them -> those (readings, K) of the
    readings that see as many as are likeliest, and the share in [0, 1] that speaks for so many. None speaks for nothing
    as much as what is seen as `NOTHING`.
    """
    votes = defaultdict(float)
    for each in characters:
        votes[len(each)] += sure[each].min() if len(each) else NOTHING
    likeliest = max(votes, key=votes.get)
    return np.stack([each for each in characters if len(each) == likeliest]), votes[likeliest] / sum(votes.values())
