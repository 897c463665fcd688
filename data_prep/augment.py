"""Random shift, scale, rotation, shear, elastic warp and stroke width, for whole batches of frames as tensors.

It works on the device the batch is on and draws from torch's global generator, so `torch.manual_seed` repeats it and
a resumed `Trainer` continues it. There is no flip: a mirrored 2 is no 2.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F


@dataclass(frozen=True)
class Augmentation:
    """
    How far a frame may be changed. Each value is the largest change either way, drawn uniformly for every frame.

    Attributes:
        shift: Pixels along each axis.
        scale: Share of the size, for each axis on its own.
        rotation: Degrees.
        shear: Horizontal pixels per vertical pixel: the slant of a hand.
        elastic: Pixels that a point of the warp moves (Simard et al., 2003, "Best Practices for Convolutional Neural
            Networks Applied to Visual Document Analysis"); the field is drawn on a 5x5 lattice and interpolated, which
            may overshoot by a half.
        stroke: How much of one 3x3 dilation (thicker) or erosion (thinner) is blended in.
    """

    shift: float = 1.5
    scale: float = 0.15
    rotation: float = 12.0
    shear: float = 0.25
    elastic: float = 1.0
    stroke: float = 0.9

    @torch.no_grad()
    def __call__(self, frames: torch.Tensor) -> torch.Tensor:
        """
        Args:
            frames: float (N, 1, H, W) in [0, 1], ink bright on a dark ground.

        Returns:
            float32 (N, 1, H, W) in [0, 1].
        """
        pixels = F.grid_sample(frames, self._sampling_grid(frames), align_corners=False)
        return self._change_stroke_width(pixels)

    def _sampling_grid(self, pixels: torch.Tensor) -> torch.Tensor:
        (n, _, height, width), device = pixels.shape, pixels.device
        angle = _uniform(n, device=device) * math.radians(self.rotation)
        scale = 1 + _uniform(n, 2, device=device) * self.scale
        shear = _uniform(n, device=device) * self.shear
        shift = _uniform(n, 2, device=device) * self.shift * 2 / torch.tensor([width, height], device=device)
        cos, sin = angle.cos(), angle.sin()
        rows = [cos / scale[:, 0], (shear * cos - sin) / scale[:, 1], shift[:, 0]]
        rows += [sin / scale[:, 0], (shear * sin + cos) / scale[:, 1], shift[:, 1]]
        grid = F.affine_grid(torch.stack(rows, 1).view(n, 2, 3), pixels.shape, align_corners=False)
        lattice = _uniform(n, 2, 5, 5, device=device) * self.elastic * 2 / width
        warp = F.interpolate(lattice, (height, width), mode="bicubic", align_corners=True)
        return grid + warp.permute(0, 2, 3, 1)

    def _change_stroke_width(self, pixels: torch.Tensor) -> torch.Tensor:
        amount = _uniform(len(pixels), 1, 1, 1, device=pixels.device) * self.stroke
        thicker = F.max_pool2d(pixels, 3, 1, 1)
        thinner = -F.max_pool2d(-pixels, 3, 1, 1)
        return pixels + amount.clamp(min=0) * (thicker - pixels) + (-amount).clamp(min=0) * (thinner - pixels)


def _uniform(*shape: int, device: torch.device) -> torch.Tensor:
    return torch.rand(shape, device=device) * 2 - 1
