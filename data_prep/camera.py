"""What a camera, a scanner and a file format do to a page: blur, noise, tone and JPEG."""

import math

import torch
import torch.nn.functional as F

from .sampling import chance, uniform
from .strokes import blur

# the luma table of the JPEG standard, ITU-T T.81, annex K
_LUMA = torch.tensor([
    [16, 11, 10, 16, 24, 40, 51, 61], [12, 12, 14, 19, 26, 58, 60, 55], [14, 13, 16, 24, 40, 57, 69, 56],
    [14, 17, 22, 29, 51, 87, 80, 62], [18, 22, 37, 56, 68, 109, 103, 77], [24, 35, 55, 64, 81, 104, 113, 92],
    [49, 64, 78, 87, 103, 121, 120, 101], [72, 92, 95, 98, 112, 100, 103, 99],
], dtype=torch.float32)  # fmt: skip
_DCT = torch.tensor(
    [[math.cos((2 * j + 1) * i * math.pi / 16) * (math.sqrt(1 / 8) if i == 0 else 0.5) for j in range(8)]
     for i in range(8)]
)  # fmt: skip


def photograph(pages: torch.Tensor) -> torch.Tensor:
    """(N, S, S) tones of 0 and up, S a multiple of 8 -> (N, S, S) in [0, 1] as a phone or a scanner stores them."""
    n, device = len(pages), pages.device
    exposure = uniform(n, 0.5, 1.0, device) / pages.amax((1, 2), keepdim=True).clamp(min=0.2)
    pages = (pages * exposure + uniform(n, 0, 0.1, device)).clamp(0, 1) ** uniform(n, 0.7, 1.4, device)
    out_of_focus = torch.where(chance(n, 0.25, device), uniform(n, 0.3, 1.6, device), uniform(n, 0.2, 0.7, device))
    pages = blur(pages, out_of_focus.flatten())
    pages = pages + _noise(pages) * uniform(n, 0, 1, device) ** 4 * 0.06
    is_jpeg = torch.rand(n, device=device) < 0.5
    pages[is_jpeg] = jpeg(pages[is_jpeg], uniform(int(is_jpeg.sum()), 25, 95, device))
    return torch.where(chance(n, 0.15, device), 1 - pages, pages).clamp(0, 1)  # chalk, and dark screens


def _noise(pages: torch.Tensor) -> torch.Tensor:
    """Grain of one pixel, or of three as small pictures have when they are enlarged."""
    fine = torch.randn_like(pages)
    coarse = F.avg_pool2d(torch.randn_like(pages)[:, None], 3, 1, 1)[:, 0] * 3
    return torch.where(chance(len(pages), 0.5, pages.device), fine, coarse)


def jpeg(images: torch.Tensor, quality: torch.Tensor) -> torch.Tensor:
    """(N, H, W) in [0, 1], sides multiples of 8, quality (N, 1, 1) in [1, 99]: JPEG's rounding, without its coding."""
    n, height, width = images.shape
    dct, luma = _DCT.to(images), _LUMA.to(images)
    blocks = images.view(n, height // 8, 8, width // 8, 8).transpose(2, 3)
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50)
    table = (luma * scale).clamp(min=1)[:, None, None] / 255
    coefficients = dct @ (blocks - 0.5) @ dct.T
    blocks = dct.T @ (torch.round(coefficients / table) * table) @ dct + 0.5
    return blocks.transpose(2, 3).reshape(n, height, width)
