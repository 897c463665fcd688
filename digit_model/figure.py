"""A picture with what was read on it."""

from PIL import Image, ImageDraw, ImageFont, ImageOps

from .image_processing_digit import on_paper, upright
from .pipeline_digit import UNREADABLE, signs_of

_SURE, _UNSURE = "#0a7d33", "#c2410c"


def draw_reading(image: Image.Image, reading: dict, longest: int = 1024) -> Image.Image:
    """
    Args:
        image: Any mode and orientation, as it was read.
        reading: What `pipeline("number-reading")` gives for it.
        longest: Side of the figure, at most, in pixels.

    Returns:
        RGB, upright: a box around every sign and above it the answer; where the model will not stand behind one, its
        best guess with a `?`. Where the picture has no room for an answer, white is added at its top.
    """
    figure = on_paper(upright(image).convert("RGBA"))
    scale = min(1.0, longest / max(figure.size))
    figure.thumbnail((longest, longest))
    signs = [sign for sign in signs_of(reading) if sign != "\n"]
    line = max(1, max(figure.size) // 300)
    boxes = [[digit["box"][name] * scale for name in ("xmin", "ymin", "xmax", "ymax")] for digit in reading["digits"]]
    sizes = [max(10, min(40, 0.45 * (bottom - top))) for _, top, _, bottom in boxes]
    above = max([0, *(round(size + 4 * line - top) for size, (_, top, _, _) in zip(sizes, boxes))])
    figure = ImageOps.expand(figure, (0, above, 0, 0), "white")
    draw = ImageDraw.Draw(figure)
    for sign, digit, (left, top, right, bottom), size in zip(signs, reading["digits"], boxes, sizes):
        top, bottom = top + above, bottom + above
        color = _UNSURE if sign == UNREADABLE else _SURE
        draw.rectangle([left - line, top - line, right + line, bottom + line], outline=color, width=line)
        text = digit["label"] + UNREADABLE if sign == UNREADABLE else sign
        font, place = ImageFont.load_default(size), (left, top - 2 * line)
        draw.text(place, text, fill=color, font=font, anchor="lb", stroke_width=line, stroke_fill="white")
    return figure


def draw_looks(ink: Image.Image, frames: list[Image.Image], side: int = 112) -> Image.Image:
    """
    What a model saw, dark on white: the ink of a picture, and below it each of its frames, enlarged.

    Args:
        ink: Grey, bright where something is written.
        frames: Grey, bright where something is written, all of one size.
        side: Of an enlarged frame, in pixels.
    """
    gap, width, label = 6, 4 * side + 3 * 6, 28  # on top is room for the label that a page lays over it
    shown = ImageOps.contain(_written_part(ink), (width, side), Image.Resampling.BILINEAR)
    columns = 4 if len(frames) <= 4 else 10
    cell = (width - (columns - 1) * gap) // columns
    rows = -(-len(frames) // columns)
    top = label + shown.height + gap
    sheet = Image.new("L", (width, top + rows * (cell + gap)), 255)
    sheet.paste(ImageOps.invert(shown), ((width - shown.width) // 2, label))
    indent = max(0, width - len(frames) * (cell + gap)) // 2  # of a single row
    for index, frame in enumerate(frames):
        place = indent + index % columns * (cell + gap), top + index // columns * (cell + gap)
        sheet.paste(ImageOps.invert(frame.resize((cell, cell), Image.Resampling.NEAREST)), place)
    return sheet


def _written_part(ink: Image.Image) -> Image.Image:
    """Without the empty paper around it, but for a margin."""
    left, top, right, bottom = ink.point(lambda value: 255 * (value > 127)).getbbox() or (0, 0, *ink.size)
    margin = max(bottom - top, right - left) // 12 + 1
    box = max(left - margin, 0), max(top - margin, 0), min(right + margin, ink.width), min(bottom + margin, ink.height)
    return ink.crop(box)
