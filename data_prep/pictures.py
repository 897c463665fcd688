"""Pictures as tensors, ready for training: prepared once, fetched a whole batch at a time."""

import numpy as np
import torch
from datasets import Dataset
from tqdm.auto import tqdm
from transformers import BaseImageProcessor

from .errors import DataError
from .mnist import FRAME_SIZE
from .pages import Pages


class Pictures(torch.utils.data.Dataset):
    """
    The pictures of a split as uint8 tensors, fetched a whole batch at a time: pages (P, 1, S, S) first, then those that
    are frames already (F, 1, 28, 28), and the labels (P + F,) of both.
    """

    def __init__(self, pages: torch.Tensor, frames: torch.Tensor, labels: torch.Tensor):
        self.pages, self.frames, self.labels = pages, frames, labels

    @classmethod
    def none(cls, processor: BaseImageProcessor) -> "Pictures":
        size, frame_size = processor.size["height"], processor.frame_size
        pages, frames = (torch.empty(0, 1, side, side, dtype=torch.uint8) for side in (size, frame_size))
        return cls(pages, frames, torch.empty(0, dtype=torch.long))

    @classmethod
    def of_frames(cls, frames: torch.Tensor, labels: torch.Tensor, processor: BaseImageProcessor) -> "Pictures":
        return cls(cls.none(processor).pages, frames, labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, indices: list[int]) -> dict[str, torch.Tensor]:
        indices = torch.tensor(indices, dtype=torch.long)
        is_page = indices < len(self.pages)
        pages, frames = indices[is_page], indices[~is_page]
        return {
            "labels": self.labels[torch.cat([pages, frames])],  # first, as Trainer counts the rows of what is first
            "pixel_values": self.pages[pages],
            "frames": self.frames[frames - len(self.pages)],
        }

    def __add__(self, other: "Pictures") -> "Pictures":
        labels = [part for each in (self, other) for part in each.labels.split([len(each.pages), len(each.frames)])]
        return Pictures(
            torch.cat([self.pages, other.pages]),
            torch.cat([self.frames, other.frames]),
            torch.cat([labels[0], labels[2], labels[1], labels[3]]),
        )


def to_pictures(rows: Dataset, processor: BaseImageProcessor) -> Pictures:
    """Every picture of a split as the image processor makes it."""
    none = Pictures.none(processor)
    pages, frames, page_labels, frame_labels = [none.pages.numpy()], [none.frames.numpy()], [], []
    for row in tqdm(rows, desc="Preparing the pictures", leave=False):
        # one by one: in a batch of mixed sizes an MNIST frame would be taken for a page
        picture = np.stack(processor(row["image"], return_tensors="np")["pixel_values"])
        is_frame = picture.shape[-1] == processor.frame_size
        (frames if is_frame else pages).append(np.rint(picture * 255).astype(np.uint8))
        (frame_labels if is_frame else page_labels).append(row["label"])
    labels = torch.tensor(page_labels + frame_labels)
    return Pictures(torch.from_numpy(np.concatenate(pages)), torch.from_numpy(np.concatenate(frames)), labels)


def frames_of(rows: Dataset) -> tuple[torch.Tensor, list[str]]:
    """
    The pictures of a split that are frames already, as MNIST's are, ink bright on a dark border: uint8 (N, 1, 28, 28),
    and the label of each.

    Raises:
        DataError: If none of them is a frame.
    """
    pictures = ((np.array(image.convert("L")), label) for image, label in zip(rows["image"], rows["label"]))
    frames = [(pixels, label) for pixels, label in pictures if _is_frame(pixels)]
    if not frames:
        raise DataError("No picture is a 28x28 frame, bright on dark, to write with: leave out --mnist none.")
    names = rows.features["label"].names
    return torch.from_numpy(np.stack([pixels for pixels, _ in frames]))[:, None], [names[label] for _, label in frames]


def _is_frame(pixels: np.ndarray) -> bool:
    """As the image processor tells them."""
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    if pixels.shape != (FRAME_SIZE, FRAME_SIZE) or border.mean() >= 32:
        return False
    sides = (np.trim_zeros((pixels >= 32).any(axis)).size for axis in (0, 1))
    return max(sides) >= FRAME_SIZE // 2


def by_source(rows: Dataset, processor: BaseImageProcessor) -> dict[str, Pictures]:
    """The pictures of each source on their own."""
    sources = np.array(rows["source"])
    return {
        source: to_pictures(rows.select(np.flatnonzero(sources == source)), processor)
        for source in rows.unique("source")
    }


def on_pages(pictures: Pictures, pages: Pages, count: int, seed: int = 0) -> Pictures:
    """Up to `count` synthetic pages that show one of the frames each, always the same ones."""
    random = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(pictures.frames), generator=random)[:count]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        batch = pages(pictures.frames[chosen].float() / 255)
    labels = pictures.labels[len(pictures.pages) :][chosen]
    return Pictures((batch.pages[batch.is_single] * 255).round().byte(), pictures.frames[:0], labels[batch.is_single])
