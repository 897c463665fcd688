"""Lines of writing: which characters follow one another, how large they are, and how close they stand."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F

from .marks import draw_marks
from .mnist import FRAME_SIZE
from .sampling import chance, uniform
from .strokes import distance_to_segment, write

LONGEST = 10
"""Characters in a line, at most."""

DIGIT_HEIGHT = 20 / FRAME_SIZE
"""Of a digit, as a share of its frame's side."""

MARK, NOTHING, LETTER = -1, -2, -3
"""What stands in a place of a line that has no character: a mark such as a comma, nothing, a letter of a word."""

_TAILS = 0.4  # of the rows of zeros in one stroke, in which the pen goes on after the last one

_TONES = 1024


class Spelling(NamedTuple):
    """
    Which characters follow one another; all lengths are shares of a frame's side.

    Attributes:
        characters: int64 (N, LONGEST), the index of each place's frame, or `MARK`, `NOTHING` or `LETTER`.
        frames: float (N, LONGEST, 28, 28) in [0, 1].
        offsets: float (N, LONGEST), of each frame's middle from that of the first.
        first: float (N,), the left end of the line's ink.
        last: float (N,), its right end.
        joined: bool (N, LONGEST), whether the pen went on from this character to the next one.
    """

    characters: torch.Tensor
    frames: torch.Tensor
    offsets: torch.Tensor
    first: torch.Tensor
    last: torch.Tensor
    joined: torch.Tensor


class Line(NamedTuple):
    """
    Characters on each page; all lengths are page pixels.

    Attributes:
        characters: int64 (N, P), the index of each place's frame, or `MARK`, `NOTHING` or `LETTER`.
        frames: float (N, P, 28, 28) in [0, 1].
        centres: float (N, P, 2), row and column of each frame's middle.
        side: float (N,), of the frames.
        pen: float (N,), its width, 0 for the writer's own.
        joined: bool (N, P), whether the pen went on from this character to the next one.
    """

    characters: torch.Tensor
    frames: torch.Tensor
    centres: torch.Tensor
    side: torch.Tensor
    pen: torch.Tensor
    joined: torch.Tensor


def spell(
    frames: torch.Tensor,
    count: torch.Tensor,
    marks: torch.Tensor,
    is_spread: torch.Tensor,
    joined: float,
    alphabets: torch.Tensor | None = None,
    worded: float = 0.0,
) -> Spelling:
    """
    Args:
        frames: float (N, 1, 28, 28) in [0, 1], ink bright. Lines go on with the frames that follow.
        count: int64 (N,), how many characters stand in each line, from 1 to LONGEST.
        marks: float (M, 28, 28), of which some stand among the characters.
        is_spread: bool (N,), whether all places of the line are equally wide, as in the boxes of a form.
        joined: Share of the lines with a row of zeros that are written in one stroke.
        alphabets: float (A, L, 28, 28), of which each word takes its letters from one.
        worded: Share of the lines that hold a word, of which nothing is to be read.
    """
    n, device = len(frames), frames.device
    place = torch.arange(LONGEST, device=device)
    ahead = (torch.rand(n, LONGEST, device=device) < 0.8).cumsum(1)  # a fifth of them say the one before again
    characters = (torch.arange(n, device=device)[:, None] + ahead - ahead[:, :1]) % n
    in_row = _rows_of_zeros(count, joined) & ~is_spread[:, None]
    zeros = _is_zero(frames[:, 0]).nonzero().flatten()
    if len(zeros):
        characters = torch.where(in_row, zeros[torch.randint(len(zeros), (n, LONGEST), device=device)], characters)
    else:
        in_row = torch.zeros_like(in_row)
    share = torch.where(place == count[:, None] - 1, 0.5, 0.25)  # amounts end in a dash
    is_mark = chance(n, 0.65, device)[:, 0] & (torch.rand(n, LONGEST, device=device) < share) & ~in_row
    is_mark[:, 0] &= count > 1
    is_mark[:, 1] &= ~is_mark[:, 0]  # something is to be read in every line
    mark = n + torch.randint(len(marks), (n, LONGEST), device=device)
    written = torch.cat([frames[:, 0], marks.to(frames)])[torch.where(is_mark, mark, characters)]
    in_word = _words(count, worded) & ~in_row & ~is_spread[:, None] if worded else torch.zeros_like(in_row)
    if in_word.any():
        line, column = in_word.nonzero(as_tuple=True)
        alphabet = torch.randint(len(alphabets), (n,), device=device)[line]
        letter = torch.randint(alphabets.shape[1], (len(line),), device=device)
        written[line, column] = alphabets.to(frames)[alphabet, letter]
    is_string = count > 1
    if is_string.any():
        written[is_string] = _slanted(written[is_string])
    characters = torch.where(in_word, LETTER, torch.where(is_mark, MARK, characters))
    characters = characters.where(place < count[:, None], NOTHING)
    goes_on = in_row & F.pad(in_row[:, 1:], (0, 1))
    is_space = in_word[:, :-1] != in_word[:, 1:]
    return Spelling(characters, written, *_offsets(written, count, is_spread, goes_on, is_space), goes_on)


def _rows_of_zeros(count: torch.Tensor, share: float) -> torch.Tensor:
    """bool (N, LONGEST): two to four places at the end, or one before it, of this share of the lines."""
    n, device = len(count), count.device
    place = torch.arange(LONGEST, device=device)
    length, after = torch.randint(2, 5, (n, 1), device=device), torch.randint(0, 2, (n, 1), device=device)
    last = count[:, None] - after
    first = last - length
    return (torch.rand(n, 1, device=device) < share) & (first >= 0) & (place >= first) & (place < last)


def _words(count: torch.Tensor, share: float) -> torch.Tensor:
    """bool (N, LONGEST): two places or more at one end of this share of the lines, or all of them."""
    n, device = len(count), count.device
    place, count = torch.arange(LONGEST, device=device), count[:, None]
    length = torch.randint(2, LONGEST, (n, 1), device=device)
    is_first, is_there = torch.rand(n, 1, device=device) < 0.6, torch.rand(n, 1, device=device) < share
    return is_there & (count > 1) & (place < count) & torch.where(is_first, place < length, place >= count - length)


def _is_zero(frames: torch.Tensor) -> torch.Tensor:
    """bool (N,): which frames (N, 28, 28) show a loop, ink on every side of an empty middle."""
    ink, middle = frames > 0.5, FRAME_SIZE // 2
    is_empty = ~ink[:, middle - 2 : middle + 2, middle - 2 : middle + 2].any(2).any(1)
    steps = torch.arange(3, middle, device=frames.device)
    sides = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1) if row or column]
    return is_empty & torch.stack(
        [ink[:, middle + row * steps, middle + column * steps].any(1) for row, column in sides]
    ).all(0)


def compose(
    frames: torch.Tensor,
    is_string: torch.Tensor,
    is_spread: torch.Tensor,
    is_cut_out: torch.Tensor,
    extent: torch.Tensor,
    size: int,
    joined: float,
) -> Line:
    """
    Args:
        frames: float (N, 1, 28, 28) in [0, 1], ink bright. Strings go on with the frames that follow.
        is_string: bool (N,), whether two to LONGEST characters stand in the line, and not one.
        is_spread: bool (N,), whether all places of the line are equally wide, as in the boxes of a form.
        is_cut_out: bool (N,), whether the sheet was cut out along the line, and a little inside it.
        extent: float (N, 2), the height and width of the sheet, in shares of the page.
        size: Side of the page.
        joined: Share of the lines with a row of zeros that are written in one stroke.
    """
    n, device = len(frames), frames.device
    longest = (torch.rand(n, device=device) ** 1.5 * (LONGEST - 1)).long() + 2
    count = torch.where(is_string, longest, 1)
    characters, written, offsets, first, last, goes_on = spell(frames, count, draw_marks(), is_spread, joined)
    height = _heights(extent, (last - first) / DIGIT_HEIGHT, is_cut_out) * size
    side = height / DIGIT_HEIGHT
    pen = pens(side)
    room = extent * size - torch.stack([height, (last - first) * side], 1)
    middle = size / 2 + _off_centre(n, device) * room.clamp(min=0) / 2
    columns = middle[:, 1:] + (offsets - (first + last)[:, None] / 2) * side[:, None]
    rise = rises(offsets) * torch.where(is_spread, 0.25, 1.0)[:, None]  # boxes keep a hand level
    rows = middle[:, :1] + rise * side[:, None] * is_string[:, None]
    return Line(characters, written, torch.stack([rows, columns], -1), side, pen, goes_on)


def pens(side: torch.Tensor) -> torch.Tensor:
    """The width (N,) of a pen for frames of this side (N,), 0 for the writer's own."""
    pen = torch.exp(torch.rand(len(side), device=side.device) * math.log(12)) * 0.9
    return torch.where(torch.rand(len(side), device=side.device) < 0.2, 0.0, torch.minimum(pen, side / 8))


def rises(offsets: torch.Tensor) -> torch.Tensor:
    """How far each character (N, P) stands below the first of a line that slopes, in frames' sides."""
    slope = uniform(len(offsets), -0.08, 0.08, offsets.device)[:, 0]
    return slope * offsets + torch.randn_like(offsets) * 0.03


def write_line(line: Line, shape: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Returns:
        The ink, float (N, height, width) in [0, 1], and whose it is, int64 (N, height, width): the place of a character
        or letter from 1 on, `MARK`, 0 where there is none.
    """
    n, places = line.characters.shape
    rows, where = (line.characters != NOTHING).nonzero(as_tuple=True)
    written = write(line.frames[rows, where, None], line.pen[rows], line.centres[rows, where], line.side[rows], shape)
    number = torch.arange(1, places + 1, device=written.device).where(line.characters != MARK, 0)[rows, where]
    both = _darkest(written, number[:, None, None], rows, n)
    if line.joined.any():
        for strokes in (_joins(line, shape), _tails(line, shape)):
            both = torch.maximum(both, _darkest(*strokes, n))
    ink, owner = both // _TONES / _TONES, (both % _TONES).long()
    owner = torch.where(owner == 0, MARK, owner)
    return ink, owner * (ink >= 0.5)


def _darkest(written: torch.Tensor, number: torch.Tensor, rows: torch.Tensor, n: int) -> torch.Tensor:
    """int (n, H, W): tone and number as one, so that the darkest on a pixel brings its number along."""
    both = (written * _TONES).round().int() * _TONES + number.int()
    nothing = both.new_zeros(1, *both.shape[1:])
    return torch.stack(
        [torch.cat([nothing, of_page]).amax(0) for of_page in both.split(rows.bincount(minlength=n).tolist())]
    )


def _joins(line: Line, shape: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The stroke (K, H, W) from each zero to the next one, the place that each half belongs to, and its page (K,)."""
    rows, first = line.joined.nonzero(as_tuple=True)
    side = line.side[rows]
    k, device = len(rows), rows.device
    from_right = _on_loop(line, rows, first, uniform(k, 20, 90, device)[:, 0])
    to_left = _on_loop(line, rows, first + 1, uniform(k, 90, 160, device)[:, 0])
    sag = torch.stack([uniform(k, -0.1, 0.12, device)[:, 0, 0] * side, torch.zeros_like(side)], 1)
    between = (from_right + to_left) / 2 + sag
    distance = torch.minimum(
        distance_to_segment(from_right, between - from_right, shape),
        distance_to_segment(between, to_left - between, shape),
    )
    is_next = torch.arange(shape[1], device=device) + 0.5 > between[:, 1:]
    return _penned(line, rows, distance), (first[:, None] + 1 + is_next)[:, None], rows


def _tails(line: Line, shape: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The stroke (K, H, W) with which the pen leaves some rows of zeros, 0 for whose it is, and its page (K,)."""
    is_last = F.pad(line.joined[:, :-1] & ~line.joined[:, 1:], (1, 0))
    is_free = F.pad(line.characters[:, 1:], (0, 1), value=NOTHING) < 0
    has_tail = torch.rand(is_last.shape, device=is_last.device) < _TAILS
    rows, place = (is_last & is_free & has_tail).nonzero(as_tuple=True)
    k, device, side = len(rows), rows.device, line.side[rows, None]
    start = _on_loop(line, rows, place, uniform(k, 10, 70, device)[:, 0])
    step = torch.cat([uniform(k, -0.35, 0.1, device)[:, 0], uniform(k, 0.25, 0.7, device)[:, 0]], 1) * side
    return _penned(line, rows, distance_to_segment(start, step, shape)), rows.new_zeros(k, 1, 1), rows


def _penned(line: Line, rows: torch.Tensor, distance: torch.Tensor) -> torch.Tensor:
    """(K, H, W) in [0, 1]: the ink of each page's pen that far from its middle."""
    pen = torch.where(line.pen[rows] > 0, line.pen[rows], 0.07 * line.side[rows])
    return (pen[:, None, None] / 2 - distance + 0.5).clamp(0, 1)


def _on_loop(line: Line, rows: torch.Tensor, place: torch.Tensor, angle: torch.Tensor) -> torch.Tensor:
    """(K, 2), row and column in pixels: where the loop of a zero lies, (K, 1) degrees above its right."""
    ink = line.frames[rows, place] > 0.5
    axis = (torch.arange(FRAME_SIZE, device=rows.device) + 0.5) / FRAME_SIZE - 0.5
    spans = [ink.any(across) for across in (2, 1)]
    first = torch.stack([torch.where(span, axis, torch.inf).amin(1) for span in spans], 1)
    last = torch.stack([torch.where(span, axis, -torch.inf).amax(1) for span in spans], 1)
    angle = angle.deg2rad()
    direction = torch.cat([-angle.sin(), angle.cos()], 1)
    middle = (first + last) / 2
    return line.centres[rows, place] + (middle + direction * (last - first) / 2) * line.side[rows, None]


def _slanted(frames: torch.Tensor) -> torch.Tensor:
    """(N, P, 28, 28): every line in the slant of its writer."""
    n, device = len(frames), frames.device
    slant = torch.randn(n, device=device) * 0.2 + 0.1
    one, none = torch.ones_like(slant), torch.zeros_like(slant)
    matrix = torch.stack([one, slant, none, none, one, none], 1).view(n, 2, 3)
    grid = F.affine_grid(matrix, frames.shape, align_corners=False)
    return F.grid_sample(frames, grid, align_corners=False)


def _offsets(
    frames: torch.Tensor,
    count: torch.Tensor,
    is_spread: torch.Tensor,
    goes_on: torch.Tensor,
    is_space: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
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
    style = torch.multinomial(torch.tensor([0.5, 0.3, 0.2], device=device), n, replacement=True)[:, None]
    # of those that touch, stand near, or far apart
    mean, spread = (torch.tensor(values, device=device)[style] for values in ([-0.01, 0.1, 0.3], [0.04, 0.06, 0.12]))
    gap = (mean + spread * torch.randn(n, places - 1, device=device)).clamp(min=-0.1)
    gap = torch.where(goes_on[:, :-1], gap.clamp(max=0.15), gap)
    if is_space.any():
        gap = torch.where(is_space, gap + uniform(n, 0.05, 0.6, device)[:, 0], gap)
    offsets = F.pad((touching + gap).cumsum(1), (1, 0))
    place = torch.arange(places, device=device)
    spread = place * uniform(n, 0.75, 1.4, device)[:, 0] + torch.randn_like(offsets) * 0.04
    offsets = torch.where(is_spread[:, None], spread, offsets)
    is_written = place < count[:, None]
    ends = left.amin(2) + offsets, right.amax(2) + offsets
    return offsets, torch.where(is_written, ends[0], 99.0).amin(1), torch.where(is_written, ends[1], -99.0).amax(1)


def _heights(extent: torch.Tensor, aspect: torch.Tensor, is_cut_out: torch.Tensor) -> torch.Tensor:
    """Of a character, in shares of the page: mostly from a seventh of it to all of it, often a tenth."""
    n, device = len(extent), extent.device
    any_size = torch.rand(n, device=device) * 0.82 + 0.15
    small = torch.exp(torch.rand(n, device=device) * math.log(9)) * 0.1
    share = torch.where(torch.rand(n, device=device) < 0.35, small, any_size)
    longest = torch.minimum(extent[:, 0], extent[:, 1] / aspect.clamp(min=0.4)) * 0.97
    return torch.where(is_cut_out, longest * 1.1, torch.minimum(share, longest))


def _off_centre(n: int, device: torch.device) -> torch.Tensor:
    """(N, 2) in [-1, 1]: mostly near the middle, often anywhere."""
    near = (torch.randn(n, 2, device=device) * 0.35).clamp(-1, 1)
    return torch.where(torch.rand(n, 1, device=device) < 0.4, torch.rand(n, 2, device=device) * 2 - 1, near)
