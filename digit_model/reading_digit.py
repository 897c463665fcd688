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
from scipy.ndimage import find_objects, label, maximum_filter
from torch import nn
from transformers import BaseImageProcessor, PreTrainedModel

from .characters_digit import MIN_INK, Characters, doubted, find_characters
from .page_digit import PAGE_STEP, find_ink, of_picture, tiled, to_pages, to_shares
from .parts_digit import frames_of, split_and_merge

MAX_AREA = 4_000_000
"""Pixels of the largest page that a picture is looked at as; beyond that it is shrunk."""

MAX_SIDE = 20_000
"""Pixels of its longer side, as the shorter one of a page has at least 32."""

_MIN_HEIGHT = 24  # in page pixels, of usual characters, below which a closer look is worth it
_TARGET_HEIGHT = 40  # that a closer look is to give them
_MAX_HEIGHT = 56  # from which on they are shrunk to be told apart
_MIN_ZOOM = 1.25  # or it is no closer look
_HEIGHT_OF_NOTHING = 10.0  # where there seems to be no ink
_GAP = 2  # pixels on either side
_BORDER = 0.01  # of a picture's side
_SPACE = 7.0  # heights of a character, beyond which its neighbour in a row belongs to something else


@dataclass
class Writing:
    """
    The characters on a picture, line by line from top to bottom.

    Attributes:
        boxes: float (K, 4), left, top, right and bottom, in shares of the picture's width and height.
        scores: float (K,), in [0, 1], how sure it is that each is one character, and nothing beside it was left out.
        frames: (K, 1, frame_size, frame_size), what the classifier is to read.
        lines: int (K,), the number of each one's line, of which a row has several where its characters are far apart.
        ink: (H, W) in [0, 1], what was found to be written on the picture.
    """

    boxes: np.ndarray
    scores: np.ndarray
    frames: torch.Tensor
    lines: np.ndarray
    ink: torch.Tensor


@torch.inference_mode()
def find_writing(
    model: PreTrainedModel, processor: BaseImageProcessor, pictures: list[Image.Image], scale: float = 1.0
) -> list[list[Writing]]:
    """
    Args:
        model: A `DigitForImageClassification`.
        processor: Its image processor.
        pictures: Grey ("L"), upright, any size.
        scale: How large they are looked at, as a share of the usual size.

    Returns:
        Of each picture, what it may show: the characters that were told apart and, where that is one at most, all ink
        as one character, framed as in the classification of a single digit.
    """
    writings: list[list[Writing]] = [[] for _ in pictures]
    side = PAGE_STEP * max(1, round(scale * processor.size["height"] / PAGE_STEP))
    looks = {index: side for index in range(len(pictures))}  # how long the longer side is
    first = {}  # the ink at the first look
    while looks:
        inks, closer = {}, {}
        for index, ink in find_ink(model, processor, pictures, looks, side):
            first.setdefault(index, ink)
            height = _usual_height(ink)
            closer[index] = _closer(looks[index], height / scale or _HEIGHT_OF_NOTHING, pictures[index])
            inks[index] = ink
        characters = _characters(model, {index: ink for index, ink in inks.items() if not closer[index]})
        for index, each in characters.items():
            boxes = each.boxes
            height = np.median(boxes[:, 2] - boxes[:, 0]) if len(boxes) else 0.0
            closer[index] = _closer(looks[index], height / scale or _HEIGHT_OF_NOTHING, pictures[index])
        written = {index: each for index, each in characters.items() if not closer[index]}
        for index, writing in _writings(model, inks, written, pictures):
            writings[index].append(writing)
        looks = {index: side for index, side in closer.items() if side}
    single = {i: first[i] for i, (each,) in enumerate(writings) if len(each.boxes) <= 1 and first[i].max() >= MIN_INK}
    for index, writing in _as_one(model, processor, pictures, single):
        writings[index].append(writing)
    return writings


def _closer(side: int, height: float, picture: Image.Image) -> int | None:
    """The longer side of a page on which writing of this height is large enough, or None where there is no better."""
    largest = max(picture.size)
    wanted = min(side * _TARGET_HEIGHT / height, largest)
    return round(wanted) if height < _MIN_HEIGHT and wanted >= _MIN_ZOOM * side else None


def _usual_height(ink: torch.Tensor) -> float:
    """Of the pieces of ink (H, W) that nearly hang together: half of it is in higher ones. 0 where there is none."""
    pieces, _ = label(maximum_filter(ink.numpy() >= MIN_INK, 2 * _GAP + 1))
    mass = np.bincount(pieces.ravel())[1:]
    heights = np.array([rows.stop - rows.start - 2 * _GAP for rows, _ in find_objects(pieces)])
    if not len(heights):
        return 0.0
    order = heights.argsort()
    return float(heights[order][mass[order].cumsum().searchsorted(mass.sum() / 2)])


def _characters(model: PreTrainedModel, inks: dict[int, torch.Tensor]) -> dict[int, Characters]:
    """The characters in each ink (H, W). Those of the same shape are told apart together."""
    small, shapes, characters = {index: _shrunk(ink) for index, ink in inks.items()}, defaultdict(list), {}
    for index, ink in small.items():
        height, width = ink.shape
        shapes[max(height + -height % 16, 96), max(width + -width % 16, 160)].append(index)
    for (height, width), indices in shapes.items():
        padded = [
            nn.functional.pad(ink, (0, width - ink.shape[1], 0, height - ink.shape[0]))
            for ink in map(small.get, indices)
        ]
        maps = tiled(model.characters, torch.stack(padded)[:, None].to(model.device, model.dtype)).float().cpu()
        for index, each in zip(indices, maps):
            rows, columns = small[index].shape
            characters[index] = find_characters(inks[index], each[:, :rows, :columns])
    return split_and_merge(model, inks, characters)


def _shrunk(ink: torch.Tensor) -> torch.Tensor:
    """A smaller copy of ink (H, W) whose characters are large, in which no stroke is lost."""
    height = _usual_height(ink)
    if height <= _MAX_HEIGHT:
        return ink
    scale = height / _TARGET_HEIGHT
    wider = 2 * int(scale / 2) + 1
    thick = torch.from_numpy(maximum_filter(ink.numpy(), wider))
    shape = [max(1, round(side / scale)) for side in ink.shape]
    return nn.functional.interpolate(thick[None, None], shape, mode="bilinear", antialias=True)[0, 0]


def _writings(
    model: PreTrainedModel,
    inks: dict[int, torch.Tensor],
    characters: dict[int, Characters],
    pictures: list[Image.Image],
) -> Iterator[tuple[int, Writing]]:
    boxes = {i: to_shares(each.boxes, inks[i].shape, pictures[i].size) for i, each in characters.items()}
    in_order = {index: _in_order(each.boxes, boxes[index]) for index, each in characters.items()}
    frames = frames_of(model, inks, characters, {index: order[:, None] for index, (order, _) in in_order.items()})
    for index, (order, lines) in in_order.items():
        scores = doubted(characters[index], inks[index].numpy())
        ink = of_picture(inks[index], pictures[index].size)
        yield index, Writing(boxes[index][order], scores[order], frames[index], lines, ink)


def _as_one(
    model: PreTrainedModel, processor: BaseImageProcessor, pictures: list[Image.Image], inks: dict[int, torch.Tensor]
) -> Iterator[tuple[int, Writing]]:
    """All ink (H, W) that the first look found on each picture as one character, read as a single digit is."""
    if not inks:
        return
    side = processor.size["height"]
    pages = to_pages(model, processor, [pictures[index] for index in inks], (side, side))
    for (index, ink), frame in zip(inks.items(), model(pages).frames.cpu()):
        rows, columns = (ink >= MIN_INK).nonzero().T
        box = np.array([[rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]])
        size = pictures[index].size
        box, shown = to_shares(box, ink.shape, size), of_picture(ink, size)
        yield index, Writing(box, np.ones(1), frame[None], np.zeros(1, dtype=int), shown)


def _in_order(boxes: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    Boxes (K, 4) on a page and in shares of the picture -> int (K,) and (K,): which of them are whole, as people read
    them, and the line of each.
    """
    chosen = np.flatnonzero(~_is_cut_off(shares))
    order, lines = in_lines(boxes[chosen])
    return chosen[order], lines


def in_lines(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """
    Top, left, bottom and right (K, 4) in pixels -> int (K,) and (K,): in which order people read them, and each one's
    line. What is far apart in a row, as the columns of a table are, counts as lines of its own.
    """
    rows = _rows(boxes)
    order = np.lexsort((boxes[:, 1], rows))
    return order, groups(boxes[order], rows[order], _SPACE)


def groups(boxes: np.ndarray, lines: np.ndarray, space: float) -> np.ndarray:
    """
    int (K,): the number of each sign's group, of those that stand in one line with less than a space between them.

    Args:
        boxes: (K, 4), top, left, bottom and right in pixels, in the order in which people read them.
        lines: int (K,), the line of each.
        space: In heights of the higher one of two neighbours.
    """
    before, after = boxes[:-1], boxes[1:]
    height = np.maximum(before[:, 2] - before[:, 0], after[:, 2] - after[:, 0])
    is_next = (lines[1:] != lines[:-1]) | (after[:, 1] - before[:, 3] > space * height)
    return np.cumsum([0, *is_next])[: len(boxes)]


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


def _rows(boxes: np.ndarray) -> np.ndarray:
    """(K, 4) -> int (K,): the row of each box, counted from the top. A row goes on with the next box beside it."""
    rows = np.full(len(boxes), -1)
    ends: list[int] = []  # the last box of each row
    for index in boxes[:, 1].argsort():
        apart = [_apart(boxes[index], boxes[end]) for end in ends]
        row = int(np.argmin(apart)) if apart and min(apart) < np.inf else len(ends)
        ends[row : row + 1] = [index]
        rows[index] = row
    middles = [boxes[rows == row][:, [0, 2]].mean() for row in range(len(ends))]
    return np.argsort(np.argsort(middles))[rows]


def _apart(box: np.ndarray, other: np.ndarray) -> float:
    """How much higher or lower one box stands than another, infinitely where they do not stand side by side."""
    shared = min(box[2], other[2]) - max(box[0], other[0])
    if shared <= 0.3 * min(box[2] - box[0], other[2] - other[0]):
        return np.inf
    return abs((box[0] + box[2]) - (other[0] + other[2])) / 2
