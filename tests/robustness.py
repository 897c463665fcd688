"""
What is still read of pictures that were taken, stored or edited in other ways than they are: a table for the README.

    python tests/robustness.py PHOTOS [CHECKPOINT]

PHOTOS are labelled pictures of single digits, as `python -m digit_model evaluate` takes them.
"""

import io
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from digit_model import DigitImageClassificationPipeline, load_checkpoint
from digit_model.checkpoint import PRETRAINED
from digit_model.image_processing_digit import upright
from digit_model.labelled_pictures import load_labelled, open_labelled

Change = Callable[[Image.Image, np.random.Generator], Image.Image]


def on_tones(change: Callable[[np.ndarray, np.random.Generator], np.ndarray]) -> Change:
    """A change of the tones (H, W, 3) in [0, 255]."""

    def changed(picture: Image.Image, random: np.random.Generator) -> Image.Image:
        return Image.fromarray(change(np.asarray(picture, float), random).clip(0, 255).astype(np.uint8))

    return changed


def as_jpeg(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    stored = io.BytesIO()
    picture.save(stored, "JPEG", quality=15)
    return Image.open(stored)


def turned(degrees: float) -> Change:
    """The camera was held so: there is paper in the corners too."""

    def changed(picture: Image.Image, random: np.random.Generator) -> Image.Image:
        sides = [((side // 2,) * 2) for side in (picture.height, picture.width)]
        beyond = Image.fromarray(np.pad(np.asarray(picture), [*sides, (0, 0)], mode="reflect"))
        (width, height), (left, top) = picture.size, (sides[1][0], sides[0][0])
        seen = beyond.rotate(degrees, Image.Resampling.BICUBIC)
        return seen.crop((left, top, left + width, top + height))

    return changed


def from_the_side(picture: Image.Image, random: np.random.Generator) -> Image.Image:
    (width, height), ((a, b), (c, d), (e, f), (g, h)) = picture.size, random.uniform(0, 0.08, (4, 2))
    corners = [(a, b), (c, 1 - d), (1 - e, 1 - f), (1 - g, h)]
    seen = [length * share for corner in corners for length, share in zip((width, height), corner)]
    return picture.transform(picture.size, Image.Transform.QUAD, seen, Image.Resampling.BICUBIC)


def in_lamplight(tones: np.ndarray, random: np.random.Generator) -> np.ndarray:
    rows, columns = (np.linspace(0, 1, side) for side in tones.shape[:2])
    row, column = random.uniform(0, 1, 2)
    away = (rows[:, None] - row) ** 2 + (columns - column) ** 2
    return tones * (0.25 + 0.9 * np.exp(-2.5 * away))[..., None]


def lying_on(ground: Callable[[int, np.random.Generator], np.ndarray], degrees: float, share: float) -> Change:
    """The whole sheet lies turned on something, tones (side, side, 3) in [0, 255], which it fills a share of."""

    def changed(picture: Image.Image, random: np.random.Generator) -> Image.Image:
        side = round(max(picture.size) / share)
        scene = Image.fromarray(ground(side, random).clip(0, 255).astype(np.uint8))
        sheet = picture.convert("RGBA").rotate(degrees, Image.Resampling.BICUBIC, expand=True)
        sheet.thumbnail(scene.size)
        scene.paste(sheet, ((side - sheet.width) // 2, (side - sheet.height) // 2), sheet)
        return scene

    return changed


def plain(tone: float) -> Callable[[int, np.random.Generator], np.ndarray]:
    return lambda side, random: np.full((side, side, 3), tone)


def desk(side: int, random: np.random.Generator) -> np.ndarray:
    light = np.asarray(Image.fromarray(random.normal(0, 15, (4, 4))).resize((side, side), Image.Resampling.BICUBIC))
    tones = random.uniform(40, 230) + light + random.normal(0, 4, (side, side))
    return np.repeat(tones[..., None], 3, 2)


def wood(side: int, random: np.random.Generator) -> np.ndarray:
    grain = Image.fromarray(random.normal(0, 22, (1, side // 6 + 1))).resize((side, side), Image.Resampling.BICUBIC)
    knots = Image.fromarray(random.normal(0, 12, (side // 24 + 1,) * 2)).resize((side, side), Image.Resampling.BICUBIC)
    return (120 + np.asarray(grain) + knots)[..., None] * np.array([1, 0.75, 0.5])


CHANGES: dict[str, Change] = {
    "as they are": lambda picture, random: picture,
    "a quarter as wide": lambda picture, random: picture.reduce(4),
    "JPEG of quality 15": as_jpeg,
    "out of focus": lambda picture, random: picture.filter(ImageFilter.GaussianBlur(max(picture.size) / 128)),
    "grain": on_tones(lambda tones, random: tones + random.normal(0, 30, tones.shape)),
    "a fifth of the light": on_tones(lambda tones, random: tones * 0.2),
    "in lamplight": on_tones(in_lamplight),
    "negative": lambda picture, random: ImageOps.invert(picture),
    "from the side": from_the_side,
    "turned by 15 degrees": turned(15),
    "turned by -15 degrees": turned(-15),
    "turned by 8 degrees by a program, white corners": lying_on(plain(255), 8, 1),
    "turned by 8 degrees by a program, black corners": lying_on(plain(0), 8, 1),
    "lying on a desk": lying_on(desk, 8, 0.75),
    "lying on wood": lying_on(wood, -8, 0.75),
    "lying on black": lying_on(plain(0), 8, 0.75),
}


def main() -> None:
    rows = load_labelled(sys.argv[1])
    model, processor = load_checkpoint(*sys.argv[2:3] or [PRETRAINED])
    classifier = DigitImageClassificationPipeline(model=model, image_processor=processor)
    print(f"| {Path(sys.argv[1]).stem}, n = {len(rows):,} | accuracy | answered | of these right |\n|---|---|---|---|")
    for name, change in CHANGES.items():
        random, described = np.random.default_rng(0), []
        pictures = (change(upright(each).convert("RGB"), random) for each in open_labelled(rows, described))
        answers = [best for (best,) in classifier(pictures, batch_size=32, top_k=1)]
        is_right = np.array([answer["label"] == each["label"] for answer, each in zip(answers, described)])
        is_answered = np.array([answer["score"] >= model.config.rejection_threshold for answer in answers])
        right = f"{is_right[is_answered].mean():.2%}" if is_answered.any() else ""
        print(f"| {name} | {is_right.mean():.2%} | {is_answered.mean():.2%} | {right} |", flush=True)


if __name__ == "__main__":
    main()
