"""Drawing in a frame: a fine canvas, a pen, the curve that a hand makes of a few points, and fonts."""

from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageChops, ImageDraw

from .mnist import FRAME_SIZE

FINE = 4
"""Everything is drawn this much larger than the frame, so that edges are soft."""

_FONTS = {"train": ("DejaVuS*.ttf", "STIXGeneral*.ttf"), "validation": ("cm[bst][0-9st]*.ttf", "cmr10.ttf")}


def font_files(split: str) -> list[Path]:
    """Of the fonts that come with matplotlib, those for "train" or for "validation"."""
    folder = Path(matplotlib.get_data_path(), "fonts", "ttf")
    return [path for pattern in _FONTS[split] for path in sorted(folder.glob(pattern))]


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


def write_strokes(random: np.random.Generator, strokes: list[np.ndarray], change: float = 1.0) -> Image.Image:
    """
    Args:
        random: Where chance comes from.
        strokes: Points (P, 2) that a pen passes, x to the right and y down; a point that is said twice is a corner.
        change: How much they are slanted, turned and stretched, from 0 on.

    Returns:
        A frame, "L", ink bright: its longest side is about 20 pixels and its centre of mass in the middle, as the frame
        step makes it.
    """
    slant, turn, stretch = random.normal([-0.2, 0, 0], [0.25, 0.08, 0.3]) * change
    matrix = np.array([[np.exp(stretch), slant], [turn, 1]])
    lines = [np.array(curve(stroke[[0, *range(len(stroke)), -1]] @ matrix.T)) for stroke in strokes]
    corner, end = (reach(np.concatenate(lines), axis=0) for reach in (np.min, np.max))
    width = pen(random, thickest=3.4)
    scale = (random.uniform(19, 21) * FINE - width) / (end - corner).max()
    ink, draw = canvas()
    for line in lines:
        draw.line([tuple(point) for point in (line - corner) * scale + width], 255, width, joint="curve")
        for tip in (line[0], line[-1]):
            draw.circle(tuple((tip - corner) * scale + width), width / 2, 255)
    return _centred(ink).reduce(FINE)


def _centred(ink: Image.Image) -> Image.Image:
    rows, columns = np.asarray(ink, dtype=float).sum(1), np.asarray(ink, dtype=float).sum(0)
    middle = [(mass * np.arange(len(mass))).sum() / mass.sum() for mass in (columns, rows)]
    return ImageChops.offset(ink, *(round(ink.width / 2 - place) for place in middle))
