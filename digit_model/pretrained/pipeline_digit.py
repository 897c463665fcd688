"""The pipelines of a digit model, which travel with a checkpoint."""

import math
from types import GeneratorType

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset
from transformers import ImageClassificationPipeline, Pipeline

from .image_processing_digit import is_one_picture, open_image
from .parts_digit import NOTHING, label_scores, letter_logits
from .reading_digit import MAX_AREA, MAX_SIDE, Writing, find_writing
from .voting_digit import vote
from .words_digit import without_words

UNREADABLE = "?"
"""Stands in a text for a sign that the model will not stand behind."""

SURE_SCORE = 0.99
"""Score of the likeliest label, in [0, 1], below which a page or a number is looked at again at other sizes."""


class _QuickPipeline(Pipeline):
    """In inference mode and channels last, a twelfth faster with a picture at a time on a CPU."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.model.to(memory_format=torch.channels_last)

    def __call__(self, inputs=None, **kwargs):
        # of anything but a list, transformers would read the first picture only, as of a column of a dataset
        is_fine = isinstance(inputs, (list, Dataset, GeneratorType)) or is_one_picture(inputs)
        inputs = inputs if is_fine else list(inputs)
        return super().__call__(inputs, **kwargs) if not isinstance(inputs, list) or inputs else []

    def get_inference_context(self):
        return torch.inference_mode


class DigitImageClassificationPipeline(_QuickPipeline, ImageClassificationPipeline):
    """
    `pipeline("image-classification")` for pictures as people have them: transparent pixels are paper (the built-in
    one turns them black), and MNIST frames may stand beside photos in one batch.
    """

    def preprocess(self, image, timeout=None):
        if not hasattr(image, "shape"):
            image = open_image(image, self.image_processor.draft_side, timeout)
        page = self.image_processor(image, return_tensors="pt")["pixel_values"][0]
        return {"pages": [page.to(self.dtype)]}

    def _forward(self, model_inputs):
        return {"logits": self.model(_unnested(model_inputs["pages"])).logits}


class NumberReadingPipeline(_QuickPipeline):
    """
    `pipeline("number-reading")`: a picture of one or more numbers to its text, with the score, box and best answers of
    each digit. Pictures are what `DigitImageProcessor` takes, alone or in a list.

    Gives of each picture `{"text", "score", "digits": [{"label", "score", "box", "top"}]}`. Boxes are in pixels of the
    upright picture; `?` in the text is a sign that the model will not stand behind; lines are joined by a newline, and
    so are numbers far apart in a row.

    With `with_images=True` it also gives what the model saw, as grey PIL pictures: the "ink" of the whole picture, and
    the "frame" of each digit.
    """

    _load_tokenizer = False
    _load_image_processor = True
    _load_feature_extractor = False
    _load_processor = False

    def _sanitize_parameters(self, top_k: int | None = None, with_images: bool | None = None):
        asked = {"top_k": top_k, "with_images": with_images}  # what is not asked for in a call stays as it was built
        return {}, {}, {name: value for name, value in asked.items() if value is not None}

    def preprocess(self, image):
        grey = self.image_processor.process_image(image if hasattr(image, "shape") else open_image(image))
        size = grey.size
        scale = min(math.sqrt(MAX_AREA / (size[0] * size[1])), MAX_SIDE / max(size))
        if scale < 1:
            grey.thumbnail((int(size[0] * scale) + 1, int(size[1] * scale) + 1), reducing_gap=3)
        return {"pictures": [torch.from_numpy(np.array(grey))], "sizes": [torch.tensor(size)]}

    def _forward(self, model_inputs):
        pictures = [Image.fromarray(np.asarray(picture.cpu())) for picture in _unnested(model_inputs["pictures"])]
        readings = self._read(pictures)
        unsure = [index for index, (_, scores) in enumerate(readings) if (scores.amax(-1) < SURE_SCORE).any()]
        if unsure:
            looks = [self._read([pictures[i] for i in unsure], scale) for scale in self.model.config.look_scales]
            for index, *again in zip(unsure, *looks):
                readings[index] = vote([readings[index], *again])
        return {"readings": [(size, *reading) for size, reading in zip(_unnested(model_inputs["sizes"]), readings)]}

    def _read(self, pictures: list[Image.Image], scale: float = 1.0) -> list[tuple[Writing, torch.Tensor]]:
        """The likeliest reading of each, looked at so large: what is written but for words, and each label's scores."""
        ways = find_writing(self.model, self.image_processor, pictures, scale)
        frames = [writing.frames for writings in ways for writing in writings]
        scores = iter(label_scores(self.model, torch.cat(frames)).split([len(each) for each in frames]))
        readings = [[(writing, next(scores)) for writing in writings] for writings in ways]
        likeliest = [max(each, key=lambda reading: reading[1].max() if len(reading[1]) else 0) for each in readings]
        are_digits = all(map(str.isdecimal, self.model.config.id2label.values()))  # others may be letters themselves
        return self._without_words(likeliest) if are_digits else likeliest

    def _without_words(self, readings: list[tuple[Writing, torch.Tensor]]) -> list[tuple[Writing, torch.Tensor]]:
        frames = [writing.frames for writing, _ in readings]
        letters = letter_logits(self.model, torch.cat(frames)).split([len(each) for each in frames])
        return [without_words(*reading, each.numpy()) for reading, each in zip(readings, letters)]

    def postprocess(self, model_outputs, top_k=3, with_images=False):
        readings = model_outputs["readings"]
        size, writing, scores = readings[0] if isinstance(readings, list) else readings
        config = self.model.config
        seen = {"ink": to_image(writing.ink)} if with_images else {}
        if len(scores) == 0 or scores.max() < NOTHING:
            return {"text": "", "score": 0.0, "digits": []} | seen
        boxes = np.rint(writing.boxes * size.repeat(2).numpy()).astype(int)
        digits = [self._digit(*each, top_k) for each in zip(boxes.tolist(), scores)]
        if with_images:
            digits = [digit | {"frame": to_image(frame[0])} for digit, frame in zip(digits, writing.frames)]
        certainty = certainties(config.number_powers, scores.amax(-1).numpy(), writing.scores)
        signs = [d["label"] if c >= config.number_threshold else UNREADABLE for d, c in zip(digits, certainty)]
        breaks = ["\n" if line != previous else "" for line, previous in zip(writing.lines[1:], writing.lines)]
        text = "".join(between + sign for between, sign in zip(["", *breaks], signs))
        return {"text": text, "score": float(certainty.prod()), "digits": digits} | seen

    def _digit(self, box: list[int], scores: torch.Tensor, top_k: int) -> dict:
        best = scores.topk(min(max(top_k, 1), len(scores)))
        names = [self.model.config.id2label[index] for index in best.indices.tolist()]
        top = [{"label": name, "score": score} for name, score in zip(names, best.values.tolist())]
        return {**top[0], "box": dict(zip(("xmin", "ymin", "xmax", "ymax"), box)), "top": top[:top_k]}


def signs_of(reading: dict) -> list[str]:
    """The text of a reading, sign by sign: a label, which may be longer than a letter, or `?`; and every newline."""
    signs, rest = [], reading["text"]
    for digit in reading["digits"]:
        if rest.startswith("\n"):
            signs, rest = [*signs, "\n"], rest[1:]
        signs.append(UNREADABLE if rest.startswith(UNREADABLE) else digit["label"])
        rest = rest[len(signs[-1]) :]
    return signs


def certainties(powers: list[float], label_scores: np.ndarray, character_scores: np.ndarray) -> np.ndarray:
    """
    How sure it is that each sign (K,) is right: the product of the score of its label and of its being one character,
    each to its power. The score of a number is the product of those of its signs.
    """
    return label_scores ** powers[0] * character_scores ** powers[1]


def to_image(values: torch.Tensor) -> Image.Image:
    """(H, W) in [0, 1] -> grey."""
    return Image.fromarray((values * 255).round().byte().cpu().numpy())


def _unnested(batch: list) -> list:
    """A batch, as the pipeline's collation nests it, or one picture on its own."""
    return [each for (each,) in batch] if isinstance(batch[0], list) else batch


PIPELINES = {"image-classification": DigitImageClassificationPipeline, "number-reading": NumberReadingPipeline}
"""Task name -> the pipeline that `transformers.pipeline` builds for a digit model."""
