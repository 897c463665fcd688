"""What a picture shows beside the sheet: things that reach in at its border, and the table that the sheet lies on."""

import math

import torch
import torch.nn.functional as F

from .paper import printed_rules
from .sampling import chance, log_uniform, smooth_field, uniform


def border_objects(n: int, size: int, device: torch.device) -> torch.Tensor:
    """(N, size, size) in [0, 1]: a table, a spiral or another sheet that reaches in from one side, or punched holes."""
    axis = torch.linspace(0, 1, size, device=device)
    row, column = axis[:, None], axis[None, :]
    side = torch.randint(0, 4, (n, 1, 1), device=device)
    along = torch.where(side % 2 == 0, column, row)
    into = torch.where(side % 2 == 0, row, column)
    into = torch.where(side < 2, into, 1 - into)
    depth = uniform(n, 0.02, 0.14, device) + (along - 0.5) * uniform(n, -0.12, 0.12, device)
    table = torch.sigmoid((depth - into) * log_uniform(n, 20, 400, device))
    rings = ((along * uniform(n, 6, 24, device)) % 1 - 0.5).abs() < uniform(n, 0.1, 0.35, device)
    spiral = rings & (into < depth.abs() + 0.03) & (into > depth * 0.2)
    pitch, radius = uniform(n, 0.15, 0.6, device), uniform(n, 0.012, 0.04, device)
    beside = ((along - uniform(n, 0, 1, device) + pitch / 2) % pitch) - pitch / 2
    holes = ((radius - torch.hypot(beside, into - depth)) * size + 0.5).clamp(0, 1)
    kind = torch.rand(n, 1, 1, device=device)
    return torch.where(kind < 0.3, spiral.float(), table).where(kind < 0.8, holes)


def on_a_table(sheets: torch.Tensor, ink: torch.Tensor) -> torch.Tensor:
    """
    Sheets that are smaller than the picture and lie turned in it, on a table or, turned by a program, on nothing.

    Args:
        sheets: (N, S, S), tones of 0 and up.
        ink: (N, S, S) in [0, 1], which stays on the sheet.

    Returns:
        (N, S, S), tones of 0 and up.
    """
    n, size, _ = sheets.shape
    device = sheets.device
    axis = torch.linspace(-1, 1, size, device=device)
    row, column = axis[:, None], axis[None, :]
    angle = torch.randn(n, 1, 1, device=device) * 0.2
    beyond = torch.full_like(sheets, -2.0)
    for quarter in range(4):
        turn = angle + quarter * math.pi / 2 + torch.randn(n, 1, 1, device=device) * 0.03
        along = column * turn.cos() + row * turn.sin()
        written = along.where(ink > 0, -0.2).amax((1, 2), keepdim=True)
        edge = written + torch.where(chance(n, 0.75, device), uniform(n, 0.05, 0.8, device), 2.0)
        beyond = torch.maximum(beyond, along - edge)
    is_beside = (beyond * log_uniform(n, 0.2, 3, device) * size).sigmoid()
    near = torch.exp(-beyond.clamp(min=0) / uniform(n, 0.03, 0.2, device))
    shadow = near * uniform(n, 0, 0.7, device) * chance(n, 0.5, device)
    return torch.lerp(sheets, _table(n, size, device) * (1 - shadow), is_beside)


def _table(n: int, size: int, device: torch.device) -> torch.Tensor:
    """(N, size, size), tones of 0 and up: plain, mottled, with a grain as wood has it, or with a pattern."""
    grain = torch.rand(n, 1, 2, int(torch.randint(8, size, ())), device=device) - 0.5
    grain = F.interpolate(grain, (size, size), mode="bicubic", align_corners=True)[:, 0]
    grain = torch.where(chance(n, 0.5, device), grain, grain.transpose(1, 2))
    mottles = smooth_field(n, int(torch.randint(3, size // 3, ())), size, device)
    texture = torch.where(chance(n, 0.4, device), grain, mottles) * uniform(n, 0, 0.8, device)
    pattern = printed_rules(n, size, device) * uniform(n, -0.8, 0.8, device)
    texture = torch.where(chance(n, 0.25, device), pattern, texture) * chance(n, 0.6, device)
    return uniform(n, 0, 1.1, device) * (1 + texture).clamp(min=0)
