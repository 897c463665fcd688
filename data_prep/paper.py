"""A page before anybody writes on it: rules, squares, dots, a cheque's waves, grain and light."""

import math

import torch
import torch.nn.functional as F

from .sampling import chance, log_uniform, smooth_field, uniform

_KINDS = {"plain": 0.55, "ruled": 0.11, "squared": 0.11, "two_pitches": 0.13, "dotted": 0.04, "waves": 0.06}


def printed_rules(n: int, size: int, device: torch.device) -> torch.Tensor:
    """(N, size, size) in [0, 1]: where the paper is printed on, with any pitch, angle, perspective and bend."""
    shares = torch.tensor(list(_KINDS.values()), device=device)
    kind = torch.multinomial(shares, n, replacement=True)
    is_printed = kind != list(_KINDS).index("plain")
    printed = torch.zeros(n, size, size, device=device)
    printed[is_printed] = _rules(kind[is_printed], size)
    return printed


def _rules(kind: torch.Tensor, size: int) -> torch.Tensor:
    n, device = len(kind), kind.device
    across, down = _paper_coordinates(n, size, device)
    is_kind = {name: (kind == index)[:, None, None] for index, name in enumerate(_KINDS)}
    pitch = log_uniform(n, 0.05, 0.6, device)
    aspect = torch.where(chance(n, 0.6, device), 1.0, uniform(n, 0.4, 2.0, device))
    width = torch.minimum(uniform(n, 0.1, 1.0, device) ** 2 * 0.026 + 0.003, pitch / 4)
    rows = _lines(down, pitch, uniform(n, 0, 1, device), width, _strengths(n, device))
    columns = _lines(across, pitch * aspect, uniform(n, 0, 1, device), width, _strengths(n, device))
    fine = pitch / torch.randint(2, 6, (n, 1, 1), device=device)
    phase, is_dashed = uniform(n, 0, 1, device), chance(n, 0.5, device)
    dash = ((across * uniform(n, 20, 60, device)) % 1 < 0.5) | ~is_dashed
    fine_rows = _lines(down, fine, phase, width * 0.6) * dash
    fine_columns = _lines(across, fine, phase, width * 0.6) * dash * chance(n, 0.4, device)
    dots = _lines(down, pitch, phase, width * 2) * _lines(across, pitch, phase, width * 2)
    wave = torch.sin(across * uniform(n, 5, 40, device) + uniform(n, 0, 6.3, device)) * uniform(n, 0, 0.05, device)
    waves = _lines(down + wave, fine.clamp(max=0.08), phase, width * 0.6)

    both = torch.maximum(rows, columns)
    faint = uniform(n, 0.2, 1.0, device)
    printed = is_kind["ruled"] * rows
    printed += is_kind["squared"] * both
    printed += is_kind["two_pitches"] * torch.maximum(both, torch.maximum(fine_rows, fine_columns) * faint)
    margin = _lines(across, torch.full_like(pitch, 3.0), 0.5 + uniform(n, -0.16, 0.16, device), width * 1.5)
    is_lined = is_kind["ruled"] | is_kind["squared"] | is_kind["two_pitches"]
    beside = torch.maximum(printed * uniform(n, 0.3, 1.0, device), margin)  # a margin is bolder than the other lines
    printed = torch.where(is_lined & chance(n, 0.3, device), beside, printed)
    printed += is_kind["dotted"] * dots
    printed += is_kind["waves"] * torch.maximum(waves, rows * chance(n, 0.3, device))
    return printed * (_is_in_table(across, down) | ~chance(n, 0.15, device))


def _is_in_table(across: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
    """bool (N, size, size): the part of a sheet where a table or a form is printed, whose rules end in the page."""
    n, device = len(across), across.device
    ends = ((axis - uniform(n, -0.2, 0.2, device)).abs() < uniform(n, 0.15, 0.5, device) for axis in (across, down))
    return torch.logical_and(*ends)


def grain(n: int, size: int, device: torch.device) -> torch.Tensor:
    """(N, size, size) in [0, 1]: noise alone, of one coarseness for all, from a fifth of the page's pixels to each."""
    cells = int(torch.randint(size // 5, size + 1, ()))
    noise = torch.randn(n, 1, cells, cells, device=device)
    mode = ("nearest", "bilinear")[int(torch.randint(2, ()))]
    noise = F.interpolate(noise, (size, size), mode=mode)[:, 0] if n else noise.new_zeros(0, size, size)
    return (uniform(n, 0.1, 0.9, device) + noise * uniform(n, 0.02, 0.4, device)).clamp(0, 1)


def light(n: int, size: int, device: torch.device) -> torch.Tensor:
    """(N, size, size) above 0: gradients, a lamp's cone or a lens's dark corners, and the edge of a shadow."""
    axis = torch.linspace(-1, 1, size, device=device)
    row, column = axis[:, None], axis[None, :]
    field = smooth_field(n, 3, size, device) * uniform(n, 0, 0.5, device)
    radius = (column - uniform(n, -0.4, 0.4, device)) ** 2 + (row - uniform(n, -0.4, 0.4, device)) ** 2
    field = field - radius * uniform(n, 0, 0.6, device) * chance(n, 0.4, device)
    angle = uniform(n, 0, 2 * math.pi, device)
    beyond = column * angle.cos() + row * angle.sin() + uniform(n, -0.9, 0.9, device)
    shadow = torch.sigmoid(beyond * log_uniform(n, 1.6, 55, device)) * uniform(n, 0.1, 0.6, device)
    return torch.exp(field - shadow * chance(n, 0.3, device))


def _paper_coordinates(n: int, size: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """How far across and down the sheet each pixel lies, in shares of the page."""
    axis = torch.linspace(-0.5, 0.5, size, device=device)
    row, column = axis[:, None], axis[None, :]
    angle = torch.randn(n, 1, 1, device=device) * torch.where(chance(n, 0.1, device), 0.5, 0.06)
    tilt = torch.randn(2, n, 1, 1, device=device) * 0.08
    depth = 1 + tilt[0] * column + tilt[1] * row
    bend = smooth_field(n, 3, size, device) * uniform(n, 0, 0.04, device) * chance(n, 0.5, device)
    across = (column * angle.cos() + row * angle.sin()) / depth + bend
    down = (-column * angle.sin() + row * angle.cos()) / depth + bend
    return across, down


def _strengths(n: int, device: torch.device) -> torch.Tensor:
    """(N, 16) in [0, 1]: how strongly each line is printed; on most sheets all alike, on some a few stand out."""
    uneven = torch.rand(n, 16, device=device) ** uniform(n, 0.5, 3.0, device)[:, 0]
    faint = uniform(n, 0.1, 1.0, device)[:, 0]  # beside the lines of the other direction
    is_uneven, is_faint = torch.rand(2, n, 1, device=device) < 0.3
    return uneven.where(is_uneven, faint.where(is_faint, 1.0))


def _lines(
    coordinate: torch.Tensor,
    pitch: torch.Tensor,
    phase: torch.Tensor,
    width: torch.Tensor,
    strengths: torch.Tensor | None = None,
) -> torch.Tensor:
    """Antialiased parallel lines; pitch and width in shares of the page, strengths (N, K) of K lines in turn."""
    place = coordinate / pitch + phase
    distance = (place % 1 - 0.5).abs() * pitch
    lines = ((width / 2 - distance) * coordinate.shape[-1] + 0.5).clamp(0, 1)
    if strengths is None:
        return lines
    number = place.floor().long() % strengths.shape[1]
    return lines * strengths.gather(1, number.flatten(1)).view_as(lines)
