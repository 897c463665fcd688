"""Many small pictures on one sheet, to see at a glance what a model will be trained on."""

import numpy as np
import torch
from datasets import DatasetDict
from PIL import Image, ImageDraw, ImageOps

from .augment import Augmentation
from .errors import DataError
from .mnist import FRAME_SIZE
from .pages import Pages

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
            fitted = ImageOps.contain(image.convert("RGB"), (thumbnail, thumbnail))
            sheet.paste(fitted, (title_width + column * cell, top))
    return sheet


def pages_sheet(dataset: DatasetDict, seed: int = 0, rows: int = 6, columns: int = 10) -> Image.Image:
    """
    Synthetic pages of the training pictures that are frames already, as MNIST's are, each above its ink, which is
    brighter where two characters meet.

    Raises:
        DataError: If none of them is a frame.
    """
    torch.manual_seed(seed)
    train, frames = dataset["train"], []
    for index in torch.randperm(len(train)).tolist():
        image = train[index]["image"]
        if image.size == (FRAME_SIZE, FRAME_SIZE):
            frames.append(torch.from_numpy(np.array(image.convert("L")))[None].float() / 255)
        if len(frames) == rows * columns:
            break
    if not frames:
        raise DataError("No training picture is a 28x28 frame to make pages of: leave out --mnist none.")
    batch, shown = Pages()(Augmentation()(torch.stack(frames))), {}
    for row in range(0, len(frames), columns):
        strokes = 0.6 * batch.ink[:, :1] + 0.4 * batch.ink[:, 1:]
        for title, images in (("page", batch.pages), ("ink", strokes)):
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
