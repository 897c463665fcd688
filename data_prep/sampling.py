"""Random values for a batch of pages, each of shape (N, 1, 1), from torch's global generator."""

import math

import torch
import torch.nn.functional as F


def uniform(n: int, low: float, high: float, device: torch.device) -> torch.Tensor:
    return torch.rand(n, 1, 1, device=device) * (high - low) + low


def log_uniform(n: int, low: float, high: float, device: torch.device) -> torch.Tensor:
    """As many between 1 and 2 as between 2 and 4."""
    return uniform(n, math.log(low), math.log(high), device).exp()


def chance(n: int, share: float, device: torch.device) -> torch.Tensor:
    """bool: true for this share of the pages."""
    return torch.rand(n, 1, 1, device=device) < share


def smooth_field(n: int, cells: int, size: int, device: torch.device) -> torch.Tensor:
    """(N, size, size) around [-0.5, 0.5] that changes from cell to cell: light, paper grain, a pencil's skips."""
    lattice = torch.rand(n, 1, cells, cells, device=device) - 0.5
    return F.interpolate(lattice, (size, size), mode="bicubic", align_corners=True)[:, 0]
