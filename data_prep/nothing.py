"""Pictures with nothing to read, to see how often a model answers all the same: blank paper, noise and scribbles."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from .mnist import FRAME_SIZE
from .not_digits import SCRIBBLES
from .pages import Pages


def blanks(count: int, seed: int = 0) -> list[Image.Image]:
    """Empty sheets of every paper, photographed."""
    empty = Pages(empty=1, grain=0, string=0, straight=0, neighbour=0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pages = empty(torch.zeros(count, 1, FRAME_SIZE, FRAME_SIZE)).pages
    return [Image.fromarray(page) for page in (pages[:, 0] * 255).byte().numpy()]


def noise(count: int, seed: int = 0) -> list[Image.Image]:
    """Grain, faint or black and white, on pictures of 28 to 200 pixels."""
    random, pictures = np.random.default_rng(seed), []
    for _ in range(count):
        side = int(random.choice([28, 40, 60, 128, 200]))
        sigma = random.choice([5, 20, 60, 1000])
        pictures.append(Image.fromarray(random.normal(128, sigma, (side, side)).clip(0, 255).astype(np.uint8)))
    return pictures


def scribbles(count: int, seed: int = 0) -> list[Image.Image]:
    """Lines that wander, hatching, blots and dashes, as frames: of the kinds that are practised on, but others."""
    random = np.random.default_rng(seed)
    return [SCRIBBLES[random.integers(len(SCRIBBLES))](random) for _ in range(count)]


KINDS = {"blank": blanks, "noise": noise, "scribble": scribbles}


def write_nothing(count: int, folder: Path, seed: int = 0) -> None:
    """Writes `count` pictures of each kind, `<kind>/<number>.png`."""
    for kind, make in KINDS.items():
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for number, picture in enumerate(make(count, seed)):
            picture.save(folder / kind / f"{number:04}.png")
