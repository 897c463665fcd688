"""Many small pictures on one sheet, to see at a glance what a model will be trained on."""

import numpy as np
import torch
from datasets import DatasetDict
from PIL import Image, ImageDraw, ImageOps

from .augment import Augmentation
from .pages import Pages
from .pictures import frames_of

THUMBNAIL = 48
GAP = 4


def contact_sheet(rows: dict[str, list[Image.Image]], thumbnail: int = THUMBNAIL) -> Image.Image:
    """
    Args:
        rows: Title -> the pictures in its row, any size and mode.
        thumbnail: Side of the square that each picture is fitted into, in pixels.

    Returns:
        One RGB picture, a row a title.
    """
    cell, title_width = thumbnail + GAP, 8 + 7 * max(map(len, rows))
    longest = max(map(len, rows.values()))
    sheet = Image.new("RGB", (title_width + longest * cell, len(rows) * cell + GAP), "#888888")
    draw = ImageDraw.Draw(sheet)
    for number, (title, images) in enumerate(rows.items()):
        top = GAP + number * cell
        draw.text((4, top + thumbnail // 2 - 6), title, fill="white")
        for column, image in enumerate(images):
            fitted = ImageOps.contain(image.convert("RGBA"), (thumbnail, thumbnail))
            paper = Image.new("RGB", fitted.size, "white")
            paper.paste(fitted, mask=fitted.getchannel("A"))
            sheet.paste(paper, (title_width + column * cell, top))
    return sheet


def pages_sheet(dataset: DatasetDict, seed: int = 0, rows: int = 6, columns: int = 10) -> Image.Image:
    """
    Synthetic pages of the training pictures that are frames already, as MNIST's are, each above its ink.

    Raises:
        DataError: If none of them is a frame.
    """
    torch.manual_seed(seed)
    train = dataset["train"]
    frames, _ = frames_of(train.select(torch.randperm(len(train))[: 20 * rows * columns].tolist()))
    frames = frames[: rows * columns].float() / 255
    batch, shown = Pages()(Augmentation()(frames)), {}
    for row in range(0, len(frames), columns):
        for title, images in (("page", batch.pages), ("ink", batch.ink)):
            pixels = (images[row : row + columns, 0] * 255).byte().numpy()
            shown[f"{title} {row // columns + 1}"] = [Image.fromarray(image) for image in pixels]
    return contact_sheet(shown, thumbnail=batch.pages.shape[-1])


def dataset_sheet(dataset: DatasetDict, pictures: int = 12, seed: int = 0) -> Image.Image:
    """Up to `pictures` training pictures of every label and source, drawn by seed."""
    random, rows = np.random.default_rng(seed), {}
    train = dataset["train"]
    table = train.select_columns(["source", "label"]).to_pandas()
    for (label, source), group in table.groupby(["label", "source"]):
        chosen = random.permutation(group.index.to_numpy())[:pictures]
        rows[f"{train.features['label'].names[label]}  {source}"] = train.select(chosen)["image"]
    return contact_sheet(rows)
