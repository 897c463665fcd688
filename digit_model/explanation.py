"""Why a character was read as it was: the strokes that spoke for the answer, and the training pictures like it."""

from typing import NamedTuple

import numpy as np
import torch
from captum.attr import IntegratedGradients
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import nn

from .modeling_digit import DigitForImageClassification

_FOR, _AGAINST = np.array([8, 104, 172]), np.array([217, 95, 2])  # blue and orange, which no eye confuses
_ENLARGED = 224
_STEPS = 32
_SMOOTH = 0.8  # pixels of a frame


class Explanation(NamedTuple):
    """
    Attributes:
        label: The answer.
        runner_up: What was next to it.
        strokes: float (frame_size, frame_size), how much each pixel spoke for the one and, below 0, for the other.
    """

    label: str
    runner_up: str
    strokes: np.ndarray


class Explainer:
    """
    Args:
        model: Whose answers are to be explained.
        frames: (N, 1, frame_size, frame_size) in [0, 1], training pictures to compare with.
        labels: What each of them shows.
    """

    def __init__(self, model: DigitForImageClassification, frames: torch.Tensor, labels: list[str]):
        self.model, self.frames, self.labels = model, frames, labels
        self._embeddings = self._embed(frames)

    def explain(self, frame: torch.Tensor) -> Explanation:
        """
        Integrated gradients (Sundararajan et al., 2017, "Axiomatic Attribution for Deep Networks") of the lead that the
        answer has over the next, from a frame without ink on.

        Args:
            frame: (1, frame_size, frame_size) in [0, 1].
        """
        names, classifier = list(self.model.config.id2label.values()), self.model.classifier
        with torch.inference_mode():
            best, next_best = classifier(frame[None])[0, : len(names)].topk(2).indices.tolist()

        def lead(frames: torch.Tensor) -> torch.Tensor:
            outputs = classifier(frames)
            return outputs[:, best] - outputs[:, next_best]

        strokes = IntegratedGradients(lead).attribute(frame[None], n_steps=_STEPS)[0, 0]
        return Explanation(names[best], names[next_best], strokes.float().numpy())

    def similar(self, frame: torch.Tensor, count: int = 5) -> list[tuple[Image.Image, str]]:
        """The pictures closest to a frame (1, frame_size, frame_size) for the classifier, and what each shows."""
        nearest = (self._embeddings @ self._embed(frame[None])[0]).topk(count).indices.tolist()
        return [(_enlarged(self.frames[index, 0].numpy()), self.labels[index]) for index in nearest]

    @torch.inference_mode()
    def _embed(self, frames: torch.Tensor) -> torch.Tensor:
        return nn.functional.normalize(self.model.classifier.embed(frames), dim=1)


def draw_strokes(frame: torch.Tensor, strokes: np.ndarray) -> Image.Image:
    """A frame (1, S, S), dark on white, with what spoke for the answer (S, S) in blue and against it in orange."""
    strokes = gaussian_filter(strokes, _SMOOTH)  # single pixels of a gradient are noise
    ink = frame[0].numpy()[..., None]
    share = np.clip(np.abs(strokes) / max(np.percentile(np.abs(strokes), 99.5), 1e-9), 0, 1)[..., None]
    color = np.where(strokes[..., None] > 0, _FOR, _AGAINST)
    paper = 255 - 120 * ink
    return _enlarged(paper * (1 - share) + color * share)


def _enlarged(values: np.ndarray) -> Image.Image:
    if values.ndim == 2:
        values = 255 * (1 - values)
    image = Image.fromarray(values.round().astype(np.uint8))
    return image.resize((_ENLARGED, _ENLARGED), Image.Resampling.NEAREST)
