"""Words beside a number, of which no letter is to be read: labels, units, names, signatures."""

from functools import cache
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase

import numpy as np
import torch
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageFont

from .drawing import FINE, canvas, font_files
from .letters import handwritten_letter
from .mnist import FRAME_SIZE
from .not_digits import SCRIBBLES

_PRINTED = (ascii_lowercase, ascii_lowercase, ascii_uppercase)
_BY_HAND, _SCRIBBLED = 12, 4  # alphabets
_BASELINE = 24  # in a frame, where a digit stands
_CAPITAL = 0.73  # height of a capital letter, as a share of its font's size


@cache
def draw_alphabets() -> torch.Tensor:
    """
    Returns:
        float (A, 26, 28, 28) in [0, 1]: what a word may be made of, each in the letters of one font and size or of a
        hand. Capitals are as high as a digit, or down to half of that.
    """
    random = np.random.default_rng(0)
    fonts = [path for path in font_files("train") if ord("a") in FT2Font(str(path)).get_charmap()]
    alphabets = [
        [_printed(letter, path, random_size) for letter in letters]
        for path in fonts
        for letters, random_size in zip(_PRINTED, random.uniform(10, 20, len(_PRINTED)))
    ]
    alphabets += [[handwritten_letter(random) for _ in ascii_lowercase] for _ in range(_BY_HAND)]
    alphabets += [[SCRIBBLES[number % 2](random) for _ in ascii_lowercase] for number in range(_SCRIBBLED)]
    return torch.from_numpy(np.array([[np.asarray(frame) for frame in each] for each in alphabets])).float() / 255


def _printed(letter: str, font: Path, height: float) -> Image.Image:
    """A frame with a letter of a font whose capitals are so many pixels high."""
    sheet, draw = canvas()
    font = ImageFont.truetype(font, height / _CAPITAL * FINE)
    draw.text((FRAME_SIZE / 2 * FINE, _BASELINE * FINE), letter, 255, font, anchor="ms")
    return sheet.reduce(FINE)
