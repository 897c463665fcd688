"""
A picture of any size to the characters on it, in the order in which people read them.

A first look takes the whole picture as one page. Where the writing is small on it, the picture is looked at again more
closely, up to its own resolution; where it is large, its ink is shrunk before the characters are told apart.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import find_objects, label
from torch import nn
from transformers import BaseImageProcessor, PreTrainedModel

from .characters_digit import MIN_INK, Characters, doubted, find_characters
from .page_digit import find_ink, is_seen_on, of_picture, tiled, to_shares
from .parts_digit import frames_of, mend

MAX_AREA = 4_000_000
"""Pixels of the largest page that a picture is looked at as; beyond that it is shrunk."""

_SMALL = 24  # height in page pixels of usual characters, below which a closer look is worth it
_WANTED = 40  # height that a closer look is to give them
_LARGE = 56  # from which on they are shrunk to be told apart
_VISIBLE = 8  # from which on a look has found all the ink there is
_CLOSER = 1.25  # times, or it is no closer look
_NO_INK = 4.0  # how many times closer to look where there seems to be nothing
_GAP = 2  # pixels on either side
_BORDER = 0.01  # of a picture's side


@dataclass
class Writing:
    """
    The characters on a picture, line by line from top to bottom.

    Attributes:
        boxes: float (K, 4), left, top, right and bottom, in shares of the picture's width and height.
        scores: float (K,), in [0, 1], how sure it is that each is one character, and nothing beside it was left out.
        frames: (K, 1, frame_size, frame_size), what the classifier is to read.
        lines: int (K,), the number of each one's line.
        ink: (H, W) in [0, 1], what was found to be written on the picture.
    """

    boxes: np.ndarray
    scores: np.ndarray
    frames: torch.Tensor
    lines: np.ndarray
    ink: torch.Tensor


@torch.inference_mode()
def find_writing(
    model: PreTrainedModel, processor: BaseImageProcessor, pictures: list[Image.Image]
) -> list[list[Writing]]:
    """
    Args:
        model: A `DigitForImageClassification`.
        processor: Its image processor.
        pictures: Grey ("L"), upright, any size.

    Returns:
        Of each picture, what it may show: the characters that were told apart and, where that is one at most, all ink
        as one character, framed as in the classification of a single digit.
    """
    writings: list[list[Writing]] = [[] for _ in pictures]
    looks = {number: processor.size["height"] for number in range(len(pictures))}  # how long the longer side is
    first, seen = {}, {}  # the ink and the shape of earlier pages
    while looks:
        inks, pages, closer = {}, {}, {}
        for number, page, ink in find_ink(model, processor, pictures, looks):
            if looks[number] == processor.size["height"]:
                first[number] = ink, page
            if number in seen:
                ink = ink * is_seen_on(page, *seen[number], pictures[number].size)
            height = _usual_height(ink)
            closer[number] = _closer(looks[number], height or _WANTED / _NO_INK, pictures[number])
            if height >= _VISIBLE:
                seen[number] = ink, page
            inks[number], pages[number] = ink, page
        characters = _characters(model, {number: ink for number, ink in inks.items() if not closer[number]})
        for number, each in characters.items():
            boxes = each.boxes
            height = np.median(boxes[:, 2] - boxes[:, 0]) if len(boxes) else _SMALL
            closer[number] = _closer(looks[number], height, pictures[number])
        written = {number: each for number, each in characters.items() if not closer[number]}
        sizes = {number: pictures[number].size for number in written}
        for number, writing in _writings(model, inks, written, pages, sizes):
            writings[number].append(writing)
            if len(writing.boxes) <= 1 and (first[number][0] >= MIN_INK).any():
                writings[number].append(_as_one(model, *first[number], sizes[number]))
        looks = {number: side for number, side in closer.items() if side}
    return writings


def _closer(side: int, height: float, picture: Image.Image) -> int | None:
    """The longer side of a page on which writing of this height is large enough, or None where there is no better."""
    largest = max(picture.size)
    wanted = min(side * _WANTED / height, largest)
    return round(wanted) if height < _SMALL and wanted >= _CLOSER * side else None


def _usual_height(ink: torch.Tensor) -> float:
    """Of the pieces of ink (H, W) that nearly hang together: half of it is in higher ones. 0 where there is none."""
    near = nn.functional.max_pool2d(ink[None], 2 * _GAP + 1, 1, _GAP)[0]
    pieces, _ = label(near.numpy() >= MIN_INK)
    mass = np.bincount(pieces.ravel())[1:]
    heights = np.array([rows.stop - rows.start - 2 * _GAP for rows, _ in find_objects(pieces)])
    if not len(heights):
        return 0.0
    order = heights.argsort()
    return float(heights[order][mass[order].cumsum().searchsorted(mass.sum() / 2)])


def _characters(model: PreTrainedModel, inks: dict[int, torch.Tensor]) -> dict[int, Characters]:
    """The characters in each ink (H, W). Those of the same shape are told apart together."""
    small, shapes, characters = {}, defaultdict(list), {}
    for number, ink in inks.items():
        small[number] = _shrunk(ink)
        height, width = small[number].shape
        shapes[max(height + -height % 16, 96), max(width + -width % 16, 160)].append(number)
    for (height, width), numbers in shapes.items():
        padded = [
            nn.functional.pad(ink, (0, width - ink.shape[1], 0, height - ink.shape[0]))
            for ink in map(small.get, numbers)
        ]
        maps = tiled(model.characters, torch.stack(padded)[:, None].to(model.device, model.dtype)).float().cpu()
        for number, each in zip(numbers, maps):
            rows, columns = small[number].shape
            characters[number] = find_characters(inks[number], each[:, :rows, :columns])
    return mend(model, inks, characters)


def _shrunk(ink: torch.Tensor) -> torch.Tensor:
    """A smaller copy of ink (H, W) whose characters are large, in which no stroke is lost."""
    height = _usual_height(ink)
    if height <= _LARGE:
        return ink
    scale = height / _WANTED
    wider = 2 * int(scale / 2) + 1
    thick = nn.functional.max_pool2d(ink[None, None], wider, 1, wider // 2)
    shape = [max(1, round(side / scale)) for side in ink.shape]
    return nn.functional.interpolate(thick, shape, mode="bilinear", antialias=True)[0, 0]


def _in_order(characters: Characters, page: tuple[int, int], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """int (K,) and (K,): the numbers of the characters that are whole, as people read them, and of their lines."""
    chosen = np.flatnonzero(~_is_cut_off(to_shares(characters.boxes, page, size)))
    lines = _lines(characters.boxes[chosen])
    order = np.lexsort((characters.boxes[chosen, 1], lines))
    return chosen[order], lines[order]


def _writings(
    model: PreTrainedModel,
    inks: dict[int, torch.Tensor],
    characters: dict[int, Characters],
    pages: dict[int, tuple[int, int]],
    sizes: dict[int, tuple[int, int]],
) -> Iterator[tuple[int, Writing]]:
    in_order = {number: _in_order(each, pages[number], sizes[number]) for number, each in characters.items()}
    frames = frames_of(model, inks, characters, {number: order[:, None] for number, (order, _) in in_order.items()})
    for number, (order, lines) in in_order.items():
        boxes = to_shares(characters[number].boxes[order], pages[number], sizes[number])
        ink = of_picture(inks[number], pages[number], sizes[number])
        scores = doubted(characters[number], inks[number].numpy())
        yield number, Writing(boxes, scores[order], frames[number], lines, ink)


def _as_one(model: PreTrainedModel, ink: torch.Tensor, page: tuple[int, int], size: tuple[int, int]) -> Writing:
    rows, columns = (ink >= MIN_INK).nonzero().T
    box = np.array([[rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]])
    frames, shown = model.frame(ink[None, None]), of_picture(ink, page, size)
    return Writing(to_shares(box, page, size), np.ones(1), frames, np.zeros(1, dtype=int), shown)


def _is_cut_off(boxes: np.ndarray) -> np.ndarray:
    """Which of the boxes (K, 4), in shares of the picture, show what its border has left of a neighbour."""
    heights = boxes[:, 3] - boxes[:, 1]
    at_side = (boxes[:, 0] <= _BORDER) | (boxes[:, 2] >= 1 - _BORDER)
    at_end = (boxes[:, 1] <= _BORDER) | (boxes[:, 3] >= 1 - _BORDER)
    is_whole = ~at_side & ~at_end
    if not is_whole.any():
        return np.zeros_like(is_whole)
    beside_a_whole_one = (_shared_heights(boxes, boxes[is_whole]) > 0).any(1)
    return (at_end & ~beside_a_whole_one) | (~is_whole & (heights < 0.7 * np.median(heights[is_whole])))


def _shared_heights(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(K, L): how far each box and each other one stand side by side."""
    return np.minimum(boxes[:, None, 3], others[:, 3]) - np.maximum(boxes[:, None, 1], others[:, 1])


def _lines(boxes: np.ndarray) -> np.ndarray:
    """(K, 4) -> int (K,): the line of each box, counted from the top. A line goes on with the next box beside it."""
    lines = np.full(len(boxes), -1)
    ends: list[int] = []  # the last box of each line
    for number in boxes[:, 1].argsort():
        apart = [_apart(boxes[number], boxes[end]) for end in ends]
        line = int(np.argmin(apart)) if apart and min(apart) < np.inf else len(ends)
        ends[line : line + 1] = [number]
        lines[number] = line
    middles = [boxes[lines == line][:, [0, 2]].mean() for line in range(len(ends))]
    return np.argsort(np.argsort(middles))[lines]


def _apart(box: np.ndarray, other: np.ndarray) -> float:
    """How much higher or lower one box stands than another, infinitely where they do not stand side by side."""
    shared = min(box[2], other[2]) - max(box[0], other[0])
    if shared <= 0.3 * min(box[2] - box[0], other[2] - other[0]):
        return np.inf
    return abs((box[0] + box[2]) - (other[0] + other[2])) / 2
