"""Characters as the classifier sees them: each in its frame, split if it is two, merged from parts, or left out."""

import numpy as np
import torch
from scipy.cluster.vq import kmeans2
from torch import nn
from transformers import PreTrainedModel

from .characters_digit import Characters, boxes_of, gaps, without_specks

NOTHING = 0.5
"""Top score, in [0, 1], below which what is seen is more likely nothing than any of the labels."""

_CANVAS = 128  # that each character is put on alone, to be framed
_BATCH_SIZE = 256  # characters that are framed or read at once
_MAX_GAP = 0.3  # of the larger one's size, between two characters that may be parts of one
_MARK_HEIGHT = 0.6  # of the usual height, below which what is like no label is a mark
_DOUBTED_SCORE = 0.97  # of one of two that stand close, below which they may be parts of one
_WHOLE_SCORE = 0.6  # of the characters network, below which one may be part of another
_MERGE_SCORE = 0.9  # of two as one, as a share of that of the surer of them, from which on they are one
_SPLIT_SCORE = 0.64  # of both halves, multiplied, from which on what was taken for one character is two


def split_and_merge(
    model: PreTrainedModel, inks: dict[int, torch.Tensor], characters: dict[int, Characters]
) -> dict[int, Characters]:
    """
    What the classifier takes for nothing is split where it is sure of both halves. Two that stand close are merged
    where it or the characters network does not believe one of them, their scores multiplied are lower than that of both
    as one, and it is about as sure of that one as of the surer of the two. What is low, and nothing like a label, is a
    mark.

    Args:
        model: A `DigitForImageClassification`.
        inks: The index of each picture, and its ink (H, W) in [0, 1].
        characters: As they were told apart in that ink.
    """
    alone = {index: np.arange(len(each.boxes))[:, None] for index, each in characters.items()}
    scores = _top_scores(model, inks, characters, alone)
    for change in (_split, _merge):
        characters, scores = change(model, inks, characters, scores)
    return {index: _without_marks(each, scores[index]) for index, each in characters.items()}


def _split(
    model: PreTrainedModel,
    inks: dict[int, torch.Tensor],
    characters: dict[int, Characters],
    scores: dict[int, np.ndarray],
) -> tuple[dict[int, Characters], dict[int, np.ndarray]]:
    """The characters, and the score (K,) of each one's likeliest label, with the halves of those that are two."""
    doubtful = {index: np.flatnonzero(each < NOTHING) for index, each in scores.items()}
    doubtful = {index: each for index, each in doubtful.items() if len(each)}
    halved = {index: _halved(characters[index], each) for index, each in doubtful.items()}
    halves = {
        index: np.concatenate([each, len(scores[index]) + np.arange(len(each))])[:, None]
        for index, each in doubtful.items()
    }
    of_halves = _top_scores(model, inks, halved, halves)
    characters, scores = characters.copy(), scores.copy()
    for index, each in doubtful.items():
        both = of_halves[index].reshape(2, -1)
        is_two = both.prod(0) >= _SPLIT_SCORE
        if is_two.any():
            characters[index] = _halved(characters[index], each[is_two])
            scores[index] = np.concatenate([scores[index], both[1, is_two]])
            scores[index][each[is_two]] = both[0, is_two]
    return characters, scores


def _halved(characters: Characters, numbers: np.ndarray) -> Characters:
    """Characters (K,) of which some (S,) are two: the one half keeps its number, the other is added at the end."""
    owner = characters.owner.copy()
    for new, number in enumerate(numbers, start=len(characters.boxes)):
        top, left, bottom, right = characters.boxes[number]
        rows, columns = (characters.owner[top:bottom, left:right] == number + 1).nonzero()
        rows, columns = rows + top, columns + left
        pointed = characters.pointed[rows, columns].astype(float)
        along = np.linalg.svd(pointed - pointed.mean(0), full_matrices=False)[2][0]
        far = (pointed - pointed.mean(0)) @ along
        _, half = kmeans2(pointed, pointed[[far.argmin(), far.argmax()]], iter=5, minit="matrix")
        owner[rows[half == 1], columns[half == 1]] = new + 1
    scores = np.concatenate([characters.scores, characters.scores[numbers]])
    return characters._replace(owner=owner, boxes=boxes_of(owner, len(scores)), scores=scores)


def _merge(
    model: PreTrainedModel,
    inks: dict[int, torch.Tensor],
    characters: dict[int, Characters],
    scores: dict[int, np.ndarray],
) -> tuple[dict[int, Characters], dict[int, np.ndarray]]:
    """The characters, and the score (K,) of each one's likeliest label, with those merged that are parts of one."""
    pairs = {index: _close_pairs(each.boxes) for index, each in characters.items()}
    # the two strokes of a 1 look like a 1 each
    sure = {i: each * np.minimum(1, characters[i].scores / _WHOLE_SCORE) for i, each in scores.items()}
    for index, each in sure.items():
        is_doubtful = each[pairs[index]].min(1, initial=1) < _DOUBTED_SCORE
        pairs[index] = pairs[index][is_doubtful]
    both = _top_scores(model, inks, characters, pairs)
    characters, scores = characters.copy(), scores.copy()
    for index, of_both in both.items():
        alone = scores[index][pairs[index]]
        gain = of_both / sure[index][pairs[index]].prod(1)
        # a sign is like no label: multiplied with its score, that of the digit beside it is below that of both as one
        is_better = (gain > 1) & (of_both >= _MERGE_SCORE * alone.max(1, initial=0))
        best = [pair for pair in (-gain).argsort() if is_better[pair]]
        if best:
            characters[index], merged = _merged(characters[index], pairs[index][best])
            scores[index] = scores[index].copy()
            for pair, one in merged:
                scores[index][one] = of_both[best[pair]]
    return characters, scores


def _merged(characters: Characters, pairs: np.ndarray) -> tuple[Characters, list[tuple[int, int]]]:
    """Pairs (P, 2) are merged, the first ones first, each character once; gives which, and as which character."""
    owner, sure, taken, merged = characters.owner.copy(), characters.scores.copy(), set(), []
    for pair, (one, other) in enumerate(pairs):
        if not taken & {one, other}:
            taken |= {one, other}
            merged.append((pair, one))
            owner[owner == other + 1] = one + 1
            sure[one] = sure[[one, other]].max()
    return characters._replace(owner=owner, boxes=boxes_of(owner, len(sure)), scores=sure), merged


def _without_marks(characters: Characters, scores: np.ndarray) -> Characters:
    """
    Without what is lower than its neighbours and nothing like a label, numbered anew; where nothing is like a label,
    all is marks: it may be a page of small numbers, seen from too far away.
    """
    heights = characters.boxes[:, 2] - characters.boxes[:, 0]
    usual = np.median(heights[heights > 0]) if heights.any() else 0
    is_mark = (scores < NOTHING) & ((heights < _MARK_HEIGHT * usual) | (scores.max(initial=0) < NOTHING))
    numbers = np.flatnonzero(is_mark) + 1
    is_of_mark = np.isin(characters.owner, numbers)
    sure = np.zeros(len(scores) + 1, dtype=np.float32)
    sure[numbers] = 1 - scores[is_mark]
    marks = np.where(is_of_mark, sure[characters.owner], characters.marks)
    owner = np.where(is_of_mark, 0, characters.owner)
    return without_specks(characters._replace(owner=owner, boxes=boxes_of(owner, len(scores)), marks=marks))


def _close_pairs(boxes: np.ndarray) -> np.ndarray:
    """(K, 4) -> int (P, 2): the numbers of those that overlap or nearly do."""
    size = (boxes[:, 2:] - boxes[:, :2]).max(1, initial=0)
    return np.argwhere(np.triu(gaps(boxes, boxes) <= _MAX_GAP * np.maximum(size[:, None], size), k=1))


def _top_scores(
    model: PreTrainedModel,
    inks: dict[int, torch.Tensor],
    characters: dict[int, Characters],
    groups: dict[int, np.ndarray],
) -> dict[int, np.ndarray]:
    """(P, n) of each picture -> (P,) in [0, 1]: of the likeliest label of so many characters taken as one."""
    frames = frames_of(model, inks, characters, groups)
    scores = label_scores(model, torch.cat([_no_frames(model), *frames.values()])).amax(-1)
    return dict(zip(groups, (each.numpy() for each in scores.split([len(group) for group in groups.values()]))))


def label_scores(model: PreTrainedModel, frames: torch.Tensor) -> torch.Tensor:
    """(N, 1, frame_size, frame_size) -> (N, num_labels) in [0, 1], in bounded memory."""
    batches = frames.to(model.device, model.dtype).split(_BATCH_SIZE)
    return torch.cat([model(frames=batch).logits.float().softmax(-1).cpu() for batch in batches])


def letter_logits(model: PreTrainedModel, frames: torch.Tensor) -> torch.Tensor:
    """(N, 1, frame_size, frame_size) -> (N,), of each being a letter, in bounded memory."""
    batches = frames.to(model.device, model.dtype).split(_BATCH_SIZE)
    return torch.cat([model.letter_logits(batch).cpu() for batch in batches])


def frames_of(
    model: PreTrainedModel,
    inks: dict[int, torch.Tensor],
    characters: dict[int, Characters],
    groups: dict[int, np.ndarray],
) -> dict[int, torch.Tensor]:
    """(P, n) of each picture -> (P, 1, frame_size, frame_size), so many of its characters taken as one."""
    alone = [_alone(inks[index], characters[index], each) for index, group in groups.items() for each in group]
    batches = [alone[start : start + _BATCH_SIZE] for start in range(0, len(alone), _BATCH_SIZE)]
    frames = torch.cat([_no_frames(model), *(model.frame(torch.stack(batch)) for batch in batches)])
    return dict(zip(groups, frames.split([len(group) for group in groups.values()])))


def _no_frames(model: PreTrainedModel) -> torch.Tensor:
    return torch.zeros(0, 1, model.config.frame_size, model.config.frame_size)


def _alone(ink: torch.Tensor, characters: Characters, numbers: np.ndarray) -> torch.Tensor:
    """(1, _CANVAS, _CANVAS): characters taken as one and nothing else, as large as their ink was found."""
    (top, left), (bottom, right) = characters.boxes[numbers, :2].min(0), characters.boxes[numbers, 2:].max(0)
    around = slice(max(top - 1, 0), bottom + 1), slice(max(left - 1, 0), right + 1)
    owner = torch.from_numpy(characters.owner[around])
    is_own = torch.isin(owner, torch.from_numpy(numbers + 1))
    softly = nn.functional.max_pool2d(is_own.float()[None], 3, 1, 1)[0] > 0  # the edges of its strokes too
    piece = ink[around] * (is_own | (softly & (owner == 0)))
    if max(piece.shape) > _CANVAS:
        shape = [max(1, side * _CANVAS // max(piece.shape)) for side in piece.shape]
        piece = nn.functional.interpolate(piece[None, None], shape, mode="area")[0, 0]
    height, width = piece.shape
    top, left = (_CANVAS - height) // 2, (_CANVAS - width) // 2
    return nn.functional.pad(piece, (left, _CANVAS - width - left, top, _CANVAS - height - top))[None]
