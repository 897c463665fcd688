"""The pages that a picture of any size is looked at as: of which shape, in which tiles, and where the picture lies."""

from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np
import torch
from PIL import Image
from transformers import BaseImageProcessor, PreTrainedModel

PAGE_STEP = 32
"""Pixels, of which the sides of a page are multiples."""

_TILE, _OVERLAP = 320, 48
_BATCH_PIXELS = 2**17  # beyond which pages in one batch are slower than in two: they do not fit the CPU's cache


def find_ink(
    model: PreTrainedModel,
    processor: BaseImageProcessor,
    pictures: list[Image.Image],
    looks: dict[int, int],
    first: int,
) -> Iterator[tuple[int, torch.Tensor]]:
    """
    Args:
        model: A `DigitForImageClassification`.
        processor: Its image processor.
        pictures: Grey ("L"), upright, any size.
        looks: The index of each picture to look at, and how many pixels the longer side of its page is to have.
        first: The longer side at the first look, whose pages are square; later ones are as the picture is.

    Yields:
        The index of a picture, and the ink (H, W) on its page, in [0, 1]. Pages of one shape are looked at together.
    """
    shapes = defaultdict(list)
    for index, side in looks.items():
        shapes[_page_shape(pictures[index].size, side, first)].append(index)
    for shape, indices in shapes.items():
        pages = to_pages(model, processor, [pictures[index] for index in indices], shape)
        yield from zip(indices, tiled(model.ink, pages)[:, 0].sigmoid().float().cpu())


def to_pages(
    model: PreTrainedModel, processor: BaseImageProcessor, pictures: list[Image.Image], shape: tuple[int, int]
) -> torch.Tensor:
    """Pictures, at least one, in grey ("L") -> pages (N, 1, *shape) in [0, 1], as the model takes them."""
    pages = np.stack([np.asarray(processor.fit(picture, shape)) for picture in pictures])
    return torch.from_numpy(pages)[:, None].to(model.device, model.dtype) / 255


def _fitted(page: tuple[int, int], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """
    Where the image processor has fitted a picture of this width and height into the middle of a page of this height
    and width: the row and column it begins at, and how many of them it covers.
    """
    covered = np.array([size[1], size[0]]) * min(page[1] / size[0], page[0] / size[1])
    return ((np.array(page) - covered) / 2).clip(min=0), covered  # rounded, it may be less than 0 by nearly nothing


def of_picture(ink: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """The part of a page's ink (H, W) that a picture of this width and height covers."""
    start, covered = _fitted(ink.shape, size)
    (top, left), (bottom, right) = np.floor(start).astype(int), np.ceil(start + covered).astype(int)
    return ink[top:bottom, left:right]


def to_shares(boxes: np.ndarray, page: tuple[int, int], size: tuple[int, int]) -> np.ndarray:
    """Top, left, bottom and right (K, 4) on a page -> left, top, right and bottom in shares of the picture."""
    start, covered = _fitted(page, size)
    return ((boxes - np.tile(start, 2)) / np.tile(covered, 2)).clip(0, 1)[:, [1, 0, 3, 2]]


def _page_shape(size: tuple[int, int], side: int, first: int) -> tuple[int, int]:
    """Height and width of the page for a picture's width and height."""
    if side == first:
        return first, first
    scale = side / max(size)
    height, width = (int(np.ceil(length * scale / PAGE_STEP)) * PAGE_STEP for length in (size[1], size[0]))
    return height, width


def tiled(network: Callable[[torch.Tensor], torch.Tensor], pages: torch.Tensor) -> torch.Tensor:
    """What the network gives for pages of any size, in bounded memory: large ones are taken in overlapping tiles."""
    shape = pages.shape[-2:]
    if max(shape) <= _TILE:
        return torch.cat([network(batch) for batch in pages.split(max(1, _BATCH_PIXELS // (shape[0] * shape[1])))])
    result = None
    for rows, inner_rows in _tiles(shape[0]):
        for columns, inner_columns in _tiles(shape[1]):
            maps = network(pages[..., rows, columns])
            if result is None:
                result = maps.new_empty(*maps.shape[:2], *shape)
            inside = maps[..., _within(inner_rows, rows), _within(inner_columns, columns)]
            result[..., inner_rows, inner_columns] = inside
    return result


def _tiles(length: int) -> list[tuple[slice, slice]]:
    """Along one side: what each tile covers, and the part of it that is kept."""
    starts = list(range(0, max(length - 2 * _OVERLAP, 1), _TILE - 2 * _OVERLAP))
    tiles = [slice(min(start, max(length - _TILE, 0)), min(start + _TILE, length)) for start in starts]
    edges = [0] + [tile.start + _OVERLAP for tile in tiles[1:]] + [length]
    return [(tile, slice(first, last)) for tile, first, last in zip(tiles, edges, edges[1:])]


def _within(part: slice, whole: slice) -> slice:
    return slice(part.start - whole.start, part.stop - whole.start)
