"""Drawing in a frame: a fine canvas, a pen, and the curve that a hand makes of a few points."""

import numpy as np
from PIL import Image, ImageDraw

from .mnist import FRAME_SIZE

FINE = 4
"""Everything is drawn this much larger than the frame, so that edges are soft."""


def canvas() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """A black frame and what draws on it, both `FINE` times as large."""
    image = Image.new("L", (FRAME_SIZE * FINE, FRAME_SIZE * FINE))
    return image, ImageDraw.Draw(image)


def pen(random: np.random.Generator, thickest: float = 4.5) -> int:
    """Its width in pixels of the canvas, of which a frame's pixel has `FINE`."""
    return int(random.uniform(1.2, thickest) * FINE)


def curve(points: np.ndarray, steps: int = 12) -> list[tuple[float, float]]:
    """A smooth line through points (P, 2) but the first and last, as Catmull and Rom draw it."""
    before, here, after, beyond = points[:-3], points[1:-2], points[2:-1], points[3:]
    t = np.linspace(0, 1, steps)[:, None, None]
    smooth = here + (after - before) / 2 * t
    smooth = smooth + (before - 2.5 * here + 2 * after - beyond / 2) * t**2
    smooth = smooth + ((beyond - before) / 2 + 1.5 * (here - after)) * t**3
    return [tuple(point) for point in smooth.transpose(1, 0, 2).reshape(-1, 2)]
