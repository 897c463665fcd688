"""Printed forms with a word before each number: nothing of what is printed is to be read."""

from collections.abc import Iterator

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from .drawing import font_files
from .mnist import FRAME_SIZE

_WORDS = (
    *("Name", "Date", "Postcode", "Amount", "Total", "Telephone", "Reference", "Customer", "Invoice", "Quantity"),
    *("Account", "Street", "City", "Price", "Article", "Signature", "Number", "Page"),
)
_WIDTH, _LEFT, _COLUMN = 900, 30, 360  # pixels: of a sheet, and where what is printed and what is written begins
_PITCH = 2.0  # heights of a digit from line to line


def make_sheets(
    frames: torch.Tensor, labels: list[str], count: int, seed: int = 0
) -> Iterator[tuple[Image.Image, str]]:
    """
    Args:
        frames: uint8 (N, 1, 28, 28), ink bright.
        labels: What each of them shows.
        count: How many sheets, of two to four numbers of two to six digits.
        seed: The same one gives the same sheets.

    Yields:
        A sheet as it is scanned, grey, and its numbers from top to bottom, a line each.
    """
    random = np.random.default_rng([seed, count])
    digits = [Image.fromarray(frame) for frame in frames[:, 0].numpy()]
    for _ in range(count):
        rows = [random.integers(len(digits), size=random.integers(2, 7)) for _ in range(random.integers(2, 5))]
        ink = _filled_in(random, [[digits[each] for each in row] for row in rows])
        yield _scanned(random, ink), "\n".join("".join(labels[each] for each in row) for row in rows)


def _filled_in(random: np.random.Generator, rows: list[list[Image.Image]]) -> Image.Image:
    """The ink of a sheet, bright, with a number of these digits in each row below its heading."""
    height, (font,) = random.uniform(28, 44), random.choice(font_files("validation"), 1)
    sheet = Image.new("L", (_WIDTH, round(_PITCH * height * (len(rows) + 1.3))))
    draw, font = ImageDraw.Draw(sheet), ImageFont.truetype(str(font), random.uniform(0.4, 0.85) * height)
    draw.text((_LEFT, 0.6 * _PITCH * height), " ".join(random.choice(_WORDS, 3)), 255, font, "ls")
    for number, row in enumerate(rows, start=1):
        base = (number + 0.6) * _PITCH * height
        draw.text((_LEFT, base), random.choice(_WORDS) + ":", 255, font, "ls")
        if random.random() < 0.5:
            draw.line([(_COLUMN, base + 0.15 * height), (_WIDTH - _LEFT, base + 0.15 * height)], 255, 2)
        _write(random, sheet, row, base, height)
    return sheet


def _write(random: np.random.Generator, sheet: Image.Image, row: list[Image.Image], base: float, height: float) -> None:
    left, side = _COLUMN, round(height * FRAME_SIZE / 20)  # a digit is 20 pixels high
    for digit in row:
        digit = digit.resize((side, side), Image.Resampling.BICUBIC)
        first, _, last, bottom = digit.getbbox()
        digit = digit.crop((first, 0, last, bottom))
        sheet.paste(255, (round(left), round(base + random.normal(0, 0.04) * height) - bottom), digit)
        left += last - first + height * random.uniform(0.08, 0.25)


def _scanned(random: np.random.Generator, ink: Image.Image) -> Image.Image:
    ink = np.asarray(ink.filter(ImageFilter.GaussianBlur(random.uniform(0.4, 0.9)))) / 255
    paper = random.uniform(195, 245) * (1 + random.uniform(-0.1, 0.1) * np.linspace(-1, 1, _WIDTH))
    page = paper * (1 - random.uniform(0.55, 0.9) * ink) + random.normal(0, random.uniform(1, 5), ink.shape)
    return Image.fromarray(page.clip(0, 255).astype(np.uint8))
