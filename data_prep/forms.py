"""What a form prints around the writing that it asks for: boxes, frames, combs and circles."""

from typing import NamedTuple

import torch

from .lines import DIGIT_HEIGHT, NOTHING, Line
from .sampling import uniform


class _Field(NamedTuple):
    """Where a field is printed; lengths are page pixels, and negative ones lie inside it."""

    columns: torch.Tensor  # (N, P, size): from the middle of each character, nan where there is none
    is_mark: torch.Tensor  # (N, P, 1): whether the character is one such as a comma
    across: torch.Tensor  # (N, 1, size): from the left or right side
    down: torch.Tensor  # (N, size, size): from the middle line
    half: torch.Tensor  # (N, 1, 1): of its height
    side: torch.Tensor  # (N, 1, 1): from an outer character's middle to the field's end
    width: torch.Tensor  # (N, 1, 1), of what is printed


def printed_fields(line: Line, size: int) -> torch.Tensor:
    """(N, size, size) in [0, 1]: a field around each line of characters, or around each of its characters."""
    shares = torch.tensor(list(KINDS.values()), device=line.side.device)
    kind = shares.expand(len(line.side), -1).multinomial(1)[:, 0]
    printed = torch.zeros(len(kind), size, size, device=kind.device)
    for index, draw in enumerate(KINDS):
        rows = kind == index
        printed[rows] = draw(_around(Line(*(each[rows] for each in line)), size))
    return printed


def boxes(field: _Field) -> torch.Tensor:
    return torch.maximum(frame(field), _inside(field) * _stroke(_from_divider(field), field.width))


def boxes_apart(field: _Field) -> torch.Tensor:
    gap = field.width * uniform(len(field.width), 1.5, 4.0, field.width.device)
    beside = _from_divider(field) - gap / 2
    return torch.maximum(frame(field) * (beside > -field.width / 2), _inside(field) * _stroke(beside, field.width))


def frame(field: _Field) -> torch.Tensor:
    return _stroke(torch.maximum(field.across, field.down.abs() - field.half), field.width)


def comb(field: _Field) -> torch.Tensor:
    line = _stroke(field.down - field.half, field.width) * (field.across < 0)
    teeth = _inside(field) * (field.down > field.half * 0.3) * _stroke(_from_divider(field), field.width)
    return torch.maximum(line, teeth)


def circles(field: _Field) -> torch.Tensor:
    """Around three digits or more, and never around a mark: who learns to leave out a lone circle reads no zero."""
    digits = field.columns.where(~field.is_mark, torch.nan)
    pitch = field.columns[..., :1].diff(dim=1).abs().nan_to_num(torch.inf).amin(1, keepdim=True)
    across = digits.abs().nan_to_num(torch.inf).amin(1, keepdim=True) / torch.minimum(field.side, pitch / 2)
    distance = (torch.hypot(across, field.down / field.half) - 1) * field.half
    is_row = digits[..., :1].isfinite().sum(1, keepdim=True) > 2
    return _stroke(distance, field.width) * is_row


KINDS = {boxes: 0.43, boxes_apart: 0.2, frame: 0.17, comb: 0.13, circles: 0.07}
"""What draws each kind of field, and its share."""


def _around(line: Line, size: int) -> _Field:
    """Where the field of each line lies: larger than its characters by chance, and not quite level."""
    n, device = len(line.side), line.side.device
    rows, columns = (line.centres[..., axis].where(line.characters > NOTHING, torch.nan) for axis in (0, 1))
    half = line.side[:, None, None] * DIGIT_HEIGHT / 2 * uniform(n, 1.1, 2.0, device)
    side = half * uniform(n, 0.8, 1.2, device)
    axis = torch.arange(size, device=device) + 0.5
    slope = torch.randn(n, 1, 1, device=device) * 0.02
    middle = rows.nanmean(1)[:, None, None] + half * uniform(n, -0.15, 0.15, device)
    first, last = columns.nan_to_num(torch.inf).amin(1), columns.nan_to_num(-torch.inf).amax(1)
    return _Field(
        columns=axis - columns[..., None],
        is_mark=line.characters[..., None] == -1,
        across=torch.maximum(first[:, None, None] - axis, axis - last[:, None, None]) - side,
        down=axis[:, None] - middle + (axis - size / 2) * slope,
        half=half,
        side=side,
        width=uniform(n, 0.6, 2.5, device) * size / 128,
    )


def _from_divider(field: _Field) -> torch.Tensor:
    """(N, 1, size): how far from the next place half-way between two characters."""
    between = (field.columns[:, :-1] + field.columns[:, 1:]) / 2
    return between.abs().nan_to_num(torch.inf).amin(1, keepdim=True)


def _inside(field: _Field) -> torch.Tensor:
    return (field.down.abs() < field.half) & (field.across < 0)


def _stroke(distance: torch.Tensor, width: torch.Tensor) -> torch.Tensor:
    return (width / 2 - distance.abs() + 0.5).clamp(0, 1)
