"""Pictures of whole numbers, written with digits of a split on all papers, to calibrate and to measure on."""

import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from tqdm.auto import tqdm

from .pages import Pages
from .sheets import make_sheets

_PAGE = 320  # pixels, so that ten digits side by side can still be read
_BATCH = 32
_ALONE = 0.1  # of the numbers have one digit


class Number(NamedTuple):
    """
    Attributes:
        image: Grey, as wide and as high as its sheet.
        text: The digits from left to right, without what stands between them.
        touches: Whether the ink of two neighbours meets.
    """

    image: Image.Image
    text: str
    touches: bool


def make_numbers(
    frames: torch.Tensor, labels: list[str], count: int, seed: int = 0, fields: float = 0.0
) -> Iterator[Number]:
    """
    Args:
        frames: uint8 (N, 1, 28, 28), ink bright.
        labels: What each of them shows.
        count: How many numbers, of one to ten digits.
        seed: The same one gives the same numbers.
        fields: Share of the numbers that stand in the fields of a form, such as boxes.
    """
    elsewhere = ("empty", "grain", "columns", "straight", "neighbour", "cut_out", "objects", "table", "small")
    nothing_else = dict.fromkeys(elsewhere, 0)
    pages = Pages(size=_PAGE, string=1 - _ALONE, fields=fields, **nothing_else)
    for start in range(0, count, _BATCH):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed * 1_000_003 + start)
            chosen = torch.randint(len(frames), (_BATCH,))
            batch = pages(frames[chosen].float() / 255)
        for row in range(min(_BATCH, count - start)):
            text = "".join(labels[chosen[each]] for each in batch.characters[row].tolist() if each >= 0)
            rows, columns = batch.is_inside[row].any(1), batch.is_inside[row].any(0)
            sheet = (batch.pages[row, 0][rows][:, columns] * 255).round().byte().numpy()
            yield Number(Image.fromarray(sheet), text, bool(batch.touches[row]))


def write_numbers(frames: torch.Tensor, labels: list[str], count: int, folder: Path, seed: int = 0) -> list[Path]:
    """
    Writes numbers whose neighbours touch, numbers whose digits stand apart, half as many in the fields of forms, and a
    fifth as many sheets with printed words, to a folder each, with a `metadata.jsonl`.

    Returns:
        These folders.
    """
    metadata = {}
    for name in ("apart", "touching", "forms", "sheets"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        metadata[name] = (folder / name / "metadata.jsonl").open("w")
    free = (
        ("touching" if each.touches else "apart", each.image, each.text)
        for each in make_numbers(frames, labels, count, seed)
    )
    in_fields = (
        ("forms", each.image, each.text) for each in make_numbers(frames, labels, count // 2, seed, fields=1.0)
    )
    on_sheets = (("sheets", *each) for each in make_sheets(frames, labels, count // 5, seed))
    total = count + count // 2 + count // 5
    made = tqdm(chain(free, in_fields, on_sheets), total=total, desc="Writing numbers")
    for index, (name, image, text) in enumerate(made):
        image.save(folder / name / f"{index:05}.png")
        print(json.dumps({"file_name": f"{index:05}.png", "text": text}), file=metadata[name])
    for file in metadata.values():
        file.close()
    return [folder / name for name in metadata]
