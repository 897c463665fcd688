"""A picture to an answer that can be shown: what it says, how sure that is, and what the model saw."""

from dataclasses import dataclass
from heapq import nlargest
from itertools import product
from math import prod

import numpy as np
import torch
from PIL import Image

from .figure import draw_looks, draw_reading
from .image_processing_digit import DigitImageProcessor, open_image, upright
from .modeling_digit import DigitForImageClassification
from .number_evaluation import best_text
from .pipeline_digit import UNREADABLE, NumberReadingPipeline, to_image

_PLAUSIBLE = 0.1  # score from which on a label is worth naming
_SMALL = 6  # times smaller than its picture
_WEAKEST = 4  # signs of a number whose other labels are tried


@dataclass
class Answer:
    """
    Attributes:
        text: The best guess, "" where there is nothing to read. Lines are joined by a newline.
        sure: The same with a `?` for each sign that the model will not stand behind.
        scores: The three likeliest texts, best first, each with its score in [0, 1].
        frames: (K, 1, frame_size, frame_size) in [0, 1], what the classifier looked at, in the order of the text.
        weakest: Which of them it is least sure of.
        characters: K pictures, each character on its own as it is on the picture.
        figure: The picture; of a number, with a box around each character and the answer above it.
        looks: The ink and the frames, None where there is no ink.
    """

    text: str
    sure: str
    scores: dict[str, float]
    frames: torch.Tensor
    weakest: int
    characters: list[Image.Image]
    figure: Image.Image
    looks: Image.Image | None

    @property
    def is_sure(self) -> bool:
        return self.text != "" and UNREADABLE not in self.sure

    @property
    def plausible(self) -> list[str]:
        """The texts that it could be, best first."""
        return [text for text, score in self.scores.items() if score >= _PLAUSIBLE]


class Answers:
    """Asks a model what a picture says."""

    def __init__(self, model: DigitForImageClassification, processor: DigitImageProcessor):
        self.model, self.processor = model, processor
        self.reader = NumberReadingPipeline(model=model, image_processor=processor, device=model.device)

    @property
    def labels(self) -> list[str]:
        return list(self.model.config.id2label.values())

    def __call__(self, picture: str | np.ndarray) -> Answer:
        """
        Args:
            picture: A file, or a canvas (H, W, 4), transparent where nothing was drawn.

        Raises:
            UnreadableImageError: If it cannot be opened.
        """
        image = Image.fromarray(picture) if isinstance(picture, np.ndarray) else open_image(picture)
        reading = self.reader(picture, with_images=True)
        if len(reading["digits"]) > 1:
            return self._number(image, reading)
        answer = self._character(image, picture)
        is_sure = reading["text"] not in ("", UNREADABLE)
        return self._number(image, reading) if is_sure and _is_small(reading, image) and not answer.is_sure else answer

    def _number(self, image: Image.Image, reading: dict) -> Answer:
        frames = [digit["frame"] for digit in reading["digits"]]
        tensors = torch.from_numpy(np.stack([np.asarray(frame) for frame in frames]))[:, None].float() / 255
        shown = upright(image)
        return Answer(
            text=best_text(reading),
            sure=reading["text"],
            scores=dict(likely_texts(reading)),
            frames=tensors,
            weakest=min(range(len(frames)), key=lambda index: reading["digits"][index]["score"]),
            characters=[_cut_out(shown, digit["box"]) for digit in reading["digits"]],
            figure=draw_reading(image, reading),
            looks=draw_looks(reading["ink"], frames),
        )

    @torch.inference_mode()
    def _character(self, image: Image.Image, picture: str | np.ndarray) -> Answer:
        """One character, or none, as `pipeline("image-classification")` reads it."""
        pages = self.processor(picture, return_tensors="pt")["pixel_values"]
        output = self.model(pages)
        if not output.logits.any():
            return Answer("", "", {}, output.frames[:0], 0, [], draw_reading(image, {"text": "", "digits": []}), None)
        best = output.logits[0].softmax(0).topk(min(3, len(self.labels)))
        scores = {self.labels[index]: score for index, score in zip(best.indices.tolist(), best.values.tolist())}
        (text, score), *_ = scores.items()
        return Answer(
            text=text,
            sure=text if score >= self.model.config.rejection_threshold else UNREADABLE,
            scores=scores,
            frames=output.frames,
            weakest=0,
            characters=[upright(image)],
            figure=draw_reading(image, {"text": "", "digits": []}),
            looks=draw_looks(to_image(self.model.to_ink(pages)[0, 0]), [to_image(output.frames[0, 0])]),
        )


def likely_texts(reading: dict, count: int = 3) -> list[tuple[str, float]]:
    """The likeliest texts of a reading, best first, each with its score; only its weakest signs may be another one."""
    digits = reading["digits"]
    weakest = sorted(range(len(digits)), key=lambda index: digits[index]["score"])[:_WEAKEST]
    choices = [digit["top"] if index in weakest else digit["top"][:1] for index, digit in enumerate(digits)]

    def share(way: tuple[dict, ...]) -> float:
        """Of the likeliest way's score."""
        return prod(way[index]["score"] / digits[index]["score"] for index in weakest)

    ways = nlargest(count, product(*choices), key=share)
    return [(best_text(reading, [each["label"] for each in way]), reading["score"] * share(way)) for way in ways]


def _is_small(reading: dict, picture: Image.Image) -> bool:
    """Whether the one digit on a picture has to be looked at more closely than the picture as a whole."""
    (box,) = [digit["box"] for digit in reading["digits"]]
    return max(box["xmax"] - box["xmin"], box["ymax"] - box["ymin"]) < max(picture.size) / _SMALL


def _cut_out(picture: Image.Image, box: dict[str, int]) -> Image.Image:
    margin = (box["ymax"] - box["ymin"]) // 6
    return picture.crop(
        (
            max(box["xmin"] - margin // 2, 0),
            max(box["ymin"] - margin, 0),
            min(box["xmax"] + margin // 2, picture.width),
            min(box["ymax"] + margin, picture.height),
        )
    )
