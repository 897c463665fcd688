"""Lines of writing: which characters follow one another, how large they are, and how close they stand."""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw

from .mnist import FRAME_SIZE
from .sampling import chance, uniform
from .strokes import dilate, write

LONGEST = 10
"""Characters in a line, at most."""

_DIGIT_HEIGHT = 20 / FRAME_SIZE  # of a frame's side
_MARKS = 64


class Line(NamedTuple):
    """
    A line of writing on each page; all lengths are page pixels.

    Attributes:
        characters: int64 (N, LONGEST), the index of each place's frame, -1 for a mark such as a comma, -2 for nothing.
        frames: float (N, LONGEST, 28, 28) in [0, 1].
        centres: float (N, LONGEST, 2), row and column of each frame's middle.
        side: float (N,), of the frames.
        pen: float (N,), its width, 0 for the writer's own.
    """

    characters: torch.Tensor
    frames: torch.Tensor
    centres: torch.Tensor
    side: torch.Tensor
    pen: torch.Tensor


def compose(frames: torch.Tensor, is_string: torch.Tensor, extent: torch.Tensor, size: int) -> Line:
    """
    Args:
        frames: float (N, 1, 28, 28) in [0, 1], ink bright. Strings go on with the frames that follow.
        is_string: bool (N,), whether two to LONGEST characters stand in the line, and not one.
        extent: float (N, 2), the height and width of the sheet, in shares of the page.
        size: Side of the page.
    """
    n, device = len(frames), frames.device
    longest = (torch.rand(n, device=device) ** 1.5 * (LONGEST - 1)).long() + 2
    count = torch.where(is_string, longest, 1)
    place = torch.arange(LONGEST, device=device)
    ahead = (torch.rand(n, LONGEST, device=device) < 0.8).cumsum(1)  # a fifth of them say the one before again
    characters = (torch.arange(n, device=device)[:, None] + ahead - ahead[:, :1]) % n
    is_mark = chance(n, 0.5, device)[:, 0] & (torch.rand(n, LONGEST, device=device) < 0.25) & (place > 0)
    chosen = torch.where(is_mark, n + torch.randint(_MARKS, (n, LONGEST), device=device), characters)
    written = torch.cat([frames[:, 0], _marks().to(frames)])[chosen]
    if is_string.any():
        written[is_string] = _slanted(written[is_string])
    offsets, first, last = _offsets(written, count)

    height = _heights(extent, (last - first) / _DIGIT_HEIGHT) * size
    side = height / _DIGIT_HEIGHT
    pen = torch.minimum(torch.exp(torch.rand(n, device=device) * math.log(9)) * 1.2, side / 8)
    pen = torch.where(torch.rand(n, device=device) < 0.2, 0.0, pen)
    room = extent * size - torch.stack([height, (last - first) * side], 1)
    middle = size / 2 + _off_centre(n, device) * room.clamp(min=0) / 2
    columns = middle[:, 1:] + (offsets - (first + last)[:, None] / 2) * side[:, None]
    rise = uniform(n, -0.08, 0.08, device)[:, 0] * offsets + torch.randn(n, LONGEST, device=device) * 0.03
    rows = middle[:, :1] + rise * side[:, None] * is_string[:, None]
    characters = torch.where(is_mark, -1, characters).where(place < count[:, None], -2)
    return Line(characters, written, torch.stack([rows, columns], -1), side, pen)


def write_line(line: Line, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """A line -> its ink (N, size, size), and where the ink of two characters meets (N, size, size), both in [0, 1]."""
    ink, seam = torch.zeros(2, len(line.side), size, size, device=line.side.device)
    rows, places = (line.characters > -2).nonzero(as_tuple=True)
    frames, centres = line.frames[rows, places, None], line.centres[rows, places]
    written = write(frames, line.pen[rows], centres, line.side[rows], size)
    for place in range(LONGEST):
        here, row = written[places == place], rows[places == place]
        if place:
            meets = torch.minimum(dilate(dilate(here)), dilate(dilate(ink[row])))
            seam[row] = torch.maximum(seam[row], meets)
        ink[row] = torch.maximum(ink[row], here)
    return ink, seam


def _slanted(frames: torch.Tensor) -> torch.Tensor:
    """(N, P, 28, 28): every line in the slant of its writer."""
    n, device = len(frames), frames.device
    slant = torch.randn(n, device=device) * 0.2 + 0.1
    one, none = torch.ones_like(slant), torch.zeros_like(slant)
    matrix = torch.stack([one, slant, none, none, one, none], 1).view(n, 2, 3)
    grid = F.affine_grid(matrix, frames.shape, align_corners=False)
    return F.grid_sample(frames, grid, align_corners=False)


def _offsets(frames: torch.Tensor, count: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """
    Where the characters of each line stand, in frame sides from the first one's middle: (N, P), and the left (N,) and
    right (N,) end of their ink. The gap between two is the narrowest one of any row, as it is for an eye.
    """
    (n, places), device = frames.shape[:2], frames.device
    column = (torch.arange(FRAME_SIZE, device=device) + 0.5) / FRAME_SIZE - 0.5
    is_ink = F.max_pool2d(frames, (5, 1), 1, (2, 0)) > 0.3  # two rows apart is next to each other
    left = torch.where(is_ink, column, 9.0).amin(3)  # (N, P, 28), 9 where the row is empty
    right = torch.where(is_ink, column, -9.0).amax(3)
    touching = (right[:, :-1] - left[:, 1:]).amax(2)
    in_no_row = right[:, :-1].amax(2) - left[:, 1:].amin(2)
    touching = torch.where(touching < -1, in_no_row, touching)
    style = torch.randint(0, 3, (n, 1), device=device)  # touching, near, wide
    mean, spread = (torch.tensor(values, device=device)[style] for values in ([-0.01, 0.1, 0.3], [0.04, 0.06, 0.12]))
    gap = (mean + spread * torch.randn(n, places - 1, device=device)).clamp(min=-0.1)
    offsets = F.pad((touching + gap).cumsum(1), (1, 0))
    is_written = torch.arange(places, device=device) < count[:, None]
    ends = left.amin(2) + offsets, right.amax(2) + offsets
    return offsets, torch.where(is_written, ends[0], 99.0).amin(1), torch.where(is_written, ends[1], -99.0).amax(1)


def _heights(extent: torch.Tensor, aspect: torch.Tensor) -> torch.Tensor:
    """Of a character, in shares of the page: mostly from a seventh of it to all of it, often a tenth."""
    n, device = len(extent), extent.device
    any_size = torch.rand(n, device=device) * 0.82 + 0.15
    small = torch.exp(torch.rand(n, device=device) * math.log(9)) * 0.1
    share = torch.where(torch.rand(n, device=device) < 0.35, small, any_size)
    longest = torch.minimum(extent[:, 0], extent[:, 1] / aspect.clamp(min=0.4)) * 0.97
    is_cut_out = torch.rand(n, device=device) < 0.1  # along its edges, and a little inside them
    return torch.where(is_cut_out, longest * 1.1, torch.minimum(share, longest))


def _off_centre(n: int, device: torch.device) -> torch.Tensor:
    """(N, 2) in [-1, 1]: mostly near the middle, often anywhere."""
    near = (torch.randn(n, 2, device=device) * 0.35).clamp(-1, 1)
    return torch.where(torch.rand(n, 1, device=device) < 0.4, torch.rand(n, 2, device=device) * 2 - 1, near)


@cache
def _marks() -> torch.Tensor:
    """float (_MARKS, 28, 28): full stops, commas, dashes, equals signs and what else stands between digits."""
    random = np.random.default_rng(0)
    canvases = [Image.new("L", (FRAME_SIZE * 4, FRAME_SIZE * 4)) for _ in range(_MARKS)]
    for number, canvas in enumerate(canvases):
        draw, pen = ImageDraw.Draw(canvas), int(random.integers(6, 13))
        x, base, middle = 56, random.normal(92, 4), random.normal(56, 5)
        half = random.uniform(10, 26)
        dash = [(x - half, middle + random.normal(0, 2)), (x + half, middle + random.normal(0, 2))]
        match number % 5:
            case 0:
                draw.ellipse([x - pen / 2, base - pen / 2, x + pen / 2, base + pen / 2], fill=255)
            case 1:
                draw.line([(x + 2, base - 2), (x - random.uniform(2, 12), base + random.uniform(8, 18))], 255, pen)
            case 2:
                draw.line(dash, 255, pen)
            case 3:
                draw.line([(x, y - 8) for x, y in dash], 255, pen)
                draw.line([(x, y + random.uniform(8, 14)) for x, y in dash], 255, pen)
            case 4:
                draw.line([(x + 2, 24), (x - random.uniform(0, 6), 24 + random.uniform(6, 14))], 255, pen)
    return torch.from_numpy(np.stack([np.asarray(canvas.reduce(4)) for canvas in canvases])).float() / 255
