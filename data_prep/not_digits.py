"""
Frames of what is no digit: letters and symbols, of the fonts that come with matplotlib and as people write them, marks,
scribbles, and noise.

A model that has only ever seen digits names one whatever it is shown; these teach it to say that it cannot.
"""

from pathlib import Path

import datasets
import numpy as np
import torch
from datasets import Dataset
from matplotlib.ft2font import FT2Font
from PIL import Image, ImageFont, ImageOps

from .custom import DAMAGE
from .drawing import FINE, canvas, curve, font_files, pen
from .errors import DataError
from .letters import handwritten_letter
from .marks import NOBODYS_DIGITS, marks_of
from .mnist import FRAME_SIZE

_NO_LABEL = -1
_RANGES = [
    range(0x21, 0x7F),  # ASCII
    range(0x391, 0x3CA),  # Greek
    range(0x410, 0x450),  # Cyrillic
    range(0x2190, 0x2200),  # arrows
    range(0x2200, 0x2300),  # mathematical operators
    range(0x25A0, 0x2600),  # geometric shapes
    range(0x2600, 0x2680),  # miscellaneous symbols
]
_LOOKALIKES = set(
    "0123456789"
    "BIOQSYZabgijloqsyz!\"$&'(),./:;<>\\[]^`{|}§"  # a hollow full stop as large as a letter is a 0
    "ΒΖΘΙΛΟΦΥαβγδεζθιλξοςσφω"
    "БВЗОУФЧЭЬЪЫабвзоуфчэьъы"
    "↰↱↲↳↴↵↼↽↾↿⇀⇁⇂⇃"
    "∝∞∧≪≫≺≻⊥∕∖∂∅∈∊∋∍∣∤∥∫∮⊖⊘⊙⊚⊛⊝⌀∘∙⋅"
    "■□▢▮▯▬▭▰▱▲△◆◇◊○◌◍◎●◐◑◒◓◔◕◖◗◘◙◚◛◦◯"
    "☉☌☽☾"
)  # what a person could write for a digit, or read as one

_NEARLY_DIGITS = list("CDGJLTUVceprtu" + "CDGce" * 3)  # a digit but for one stroke: drawn more often

_HANDWRITTEN = 0.3
"""Share of what is to be trained on that is a letter or a sign in no font."""


def draw_not_digits(
    count: int, labels: list[str], split: str = "train", seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Args:
        count: How many.
        labels: What the model is to name, which is not drawn; where they are not all numbers, no letters are either.
        split: "train", the only one with letters written by hand, or "validation"; they have no font in common.
        seed: The same seed draws the same.

    Returns:
        Frames uint8 (count, 1, 28, 28), ink bright, most of them letters or symbols, and the label of each, int64
        (count,), always -1.
    """
    random = np.random.default_rng([seed, len(split)])
    fonts = font_files(split)
    with_letters = all(label.isdecimal() for label in labels)

    def may_be_drawn(char: str) -> bool:
        return char not in labels and (with_letters or not char.isalpha())

    glyphs = {path: list(filter(may_be_drawn, _characters(path))) for path in fonts}
    scribbles = [*SCRIBBLES, _noise]
    frames = np.empty((count, 1, FRAME_SIZE, FRAME_SIZE), dtype=np.uint8)
    with_hands = with_letters and split == "train"
    for frame in frames:
        if with_hands and random.random() < _HANDWRITTEN:
            frame[0] = handwritten_letter(random)
            continue
        kind, path = random.random(), fonts[random.integers(len(fonts))]
        if kind < 0.82:  # mostly letters of our own alphabet, where there are any: they are what people bring
            latin = [char for char in glyphs[path] if char.isascii() and char.isalpha()]
            latin += [char for char in _NEARLY_DIGITS if char in latin]
            choice = latin if latin and kind < 0.6 else glyphs[path]
            frame[0] = _letter(random, path, choice[random.integers(len(choice))])
        elif kind < 0.87:
            frame[0] = _mark(random)
        else:
            frame[0] = scribbles[random.integers(len(scribbles))](random)
    return torch.from_numpy(frames), torch.full((count,), _NO_LABEL)


def read_not_digits(folder: str) -> Dataset:
    """
    Pictures of somebody's own that show no digit, with the columns `image` and `label` (always -1).

    Raises:
        DataError: If the folder, and those in it, hold no picture, or one that cannot be read.
    """
    suffixes = Image.registered_extensions()
    files = [file for file in sorted(Path(folder).rglob("*")) if file.suffix.lower() in suffixes and file.is_file()]
    files = [str(file) for file in files if not any(part.startswith(".") for part in file.relative_to(folder).parts)]
    if not files:
        raise DataError(f"{folder} holds no pictures; name a folder of pictures that show no digit.")
    for file in files:
        try:
            ImageOps.exif_transpose(Image.open(file))  # as it is when it is decoded
        except DAMAGE:
            raise DataError(f"{file} cannot be read; take it out of {folder}.") from None
    rows = Dataset.from_dict({"image": files, "label": [_NO_LABEL] * len(files)})
    return rows.cast_column("image", datasets.Image())


def _characters(path: Path) -> list[str]:
    there = FT2Font(str(path)).get_charmap()
    return [chr(code) for codes in _RANGES for code in codes if code in there and chr(code) not in _LOOKALIKES]


def _letter(random: np.random.Generator, path: Path, letter: str) -> Image.Image:
    """A letter as no font has it: bolder, hollow, slanted, turned or stretched."""
    sheet, draw = canvas()
    is_hollow, bold = random.random() < 0.1, int(random.choice([0, 0, 1, 3, 5]))
    draw.text(
        (sheet.width / 2, sheet.height / 2),
        letter,
        anchor="mm",
        font=ImageFont.truetype(str(path), 70),
        fill=0 if is_hollow else 255,
        stroke_fill=255,
        stroke_width=max(bold, 3) if is_hollow else bold,
    )
    turn, slant = random.normal(0, 0.15), random.normal(0, 0.2)
    stretch = np.exp(random.normal(0, 0.2))
    matrix = np.array([[np.cos(turn), np.sin(turn) + slant], [-np.sin(turn), np.cos(turn)]]) / [stretch, 1]
    offset = sheet.width / 2 - matrix.sum(1) * sheet.width / 2
    coefficients = np.column_stack([matrix, offset]).flatten()
    sheet = sheet.transform(sheet.size, Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR)
    return _framed(random, sheet)


def _framed(random: np.random.Generator, sheet: Image.Image) -> Image.Image:
    """What is on a sheet, as the frame step makes it, or filling the frame, as in a picture that was cut out."""
    piece = sheet.crop(sheet.getbbox())
    longest = FRAME_SIZE if random.random() < 0.3 else random.uniform(18, 22)
    piece = ImageOps.contain(piece, (round(longest * FINE),) * 2)
    frame, _ = canvas()
    frame.paste(piece, tuple((frame.width - side) // 2 for side in piece.size))
    return frame.reduce(FINE)


def _mark(random: np.random.Generator) -> Image.Image:
    """What stands around an amount, enlarged: a number sign, an equals sign, a full stop and a dash."""
    marks = marks_of(NOBODYS_DIGITS[random.integers(len(NOBODYS_DIGITS))])
    return _framed(random, Image.fromarray((marks[random.integers(len(marks))] * 255).byte().numpy()))


def _scribble(random: np.random.Generator) -> Image.Image:
    """Back and forth, as one tries out a pen or crosses something out."""
    sheet, draw = canvas()
    turns = random.integers(7, 18)
    along = np.linspace(0.1, 0.9, turns) + random.normal(0, 0.04, turns)
    across = 0.5 + np.where(np.arange(turns) % 2, 0.35, -0.35) * random.uniform(0.4, 1, turns)
    angle = random.uniform(0, np.pi)
    points = np.stack([along, across], 1) - 0.5
    points = points @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) + 0.5
    draw.line(curve(points * sheet.width), fill=255, width=pen(random), joint="curve")
    return sheet.reduce(FINE)


def _loops(random: np.random.Generator) -> Image.Image:
    """A line that wanders about."""
    sheet, draw = canvas()
    points = random.uniform(0.1, 0.9, (random.integers(9, 16), 2)) * sheet.width
    draw.line(curve(points), fill=255, width=pen(random), joint="curve")
    return sheet.reduce(FINE)


def _hatching(random: np.random.Generator) -> Image.Image:
    """Straight lines anywhere, four or more."""
    sheet, draw = canvas()
    for _ in range(random.integers(4, 10)):
        draw.line([tuple(point) for point in random.uniform(4, sheet.width - 4, (2, 2))], 255, pen(random))
    return sheet.reduce(FINE)


def _dashes(random: np.random.Generator) -> Image.Image:
    """One to three level strokes: a dash, an equals sign."""
    sheet, draw = canvas()
    count, slope = random.integers(1, 4), random.normal(0, 0.1)
    half = random.uniform(8, 11) * FINE
    for number in range(count):
        middle = sheet.height / 2 + (number - (count - 1) / 2) * random.uniform(4, 8) * FINE
        ends = [(sheet.width / 2 + side * half, middle + side * half * slope) for side in (-1, 1)]
        draw.line(ends, fill=255, width=pen(random))
    return sheet.reduce(FINE)


def _blots(random: np.random.Generator) -> Image.Image:
    """Dots and spots, three or more."""
    sheet, draw = canvas()
    for _ in range(random.integers(3, 14)):
        x, y = random.uniform(12, sheet.width - 12, 2)
        width, height = random.uniform(2, 16, 2)
        draw.ellipse([x - width, y - height, x + width, y + height], fill=255)
    return sheet.reduce(FINE)


def _noise(random: np.random.Generator) -> Image.Image:
    """Grain of any size, as a bad scan or a carpet has it."""
    cells = int(random.integers(5, FRAME_SIZE + 1))
    grain = Image.fromarray(random.integers(0, 256, (cells, cells), dtype=np.uint8))
    grain = grain.resize((FRAME_SIZE, FRAME_SIZE), Image.Resampling.BICUBIC)
    return grain.point(lambda value: max(0, (value - 110) * 2))


SCRIBBLES = (_scribble, _loops, _hatching, _blots, _dashes)
"""Each draws a frame of what is neither a sign nor noise."""
