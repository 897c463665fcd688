"""Pictures that show no digit get no answer: hardly any top score reaches the model's threshold."""

from collections.abc import Iterable

import numpy as np
import pytest
import torch
from conftest import only, scan
from PIL import Image

from data_prep import not_digits
from digit_model import DigitImageClassificationPipeline, load_checkpoint

LABELS = list("0123456789")


@pytest.fixture(scope="module")
def classifier() -> DigitImageClassificationPipeline:
    model, processor = load_checkpoint()
    return DigitImageClassificationPipeline(model=model, image_processor=processor)


def answered(classifier: DigitImageClassificationPipeline, pictures: Iterable[np.ndarray]) -> float:
    """The share of the pictures, uint8 (H, W), that is given a label."""
    answers = classifier([Image.fromarray(picture) for picture in pictures], top_k=1, batch_size=50)
    return np.mean([answer[0]["score"] >= classifier.model.config.rejection_threshold for answer in answers])


def pages_of(frames: torch.Tensor, **shares: float) -> np.ndarray:
    torch.manual_seed(0)
    pages = only(**shares)(frames.float() / 255).pages
    return (pages[:, 0] * 255).byte().numpy()


def test_empty_sheets_of_every_paper_are_not_answered(classifier):
    frames = torch.zeros(300, 1, 28, 28, dtype=torch.uint8)
    assert answered(classifier, pages_of(frames, empty=1)) <= 0.02


def test_noise_is_not_answered(classifier):
    random, noise = np.random.default_rng(0), []
    for side in (28, 40, 60, 128, 200):
        noise += [random.normal(128, sigma, (side, side)).clip(0, 255) for sigma in (5, 20, 60) for _ in range(6)]
        noise += [random.integers(0, 2, (side, side)) * 255.0 for _ in range(6)]
    assert answered(classifier, [picture.astype(np.uint8) for picture in noise]) <= 0.02


def test_scribbles_are_not_answered(classifier):
    scribbles = not_digits(300, ["a"], "validation", seed=5)  # for a model of letters: symbols and scribbles alone
    assert answered(classifier, scribbles[:, 0].numpy()) <= 0.02


def test_letters_of_a_font_it_has_not_seen_are_hardly_ever_answered(classifier):
    assert answered(classifier, not_digits(400, LABELS, "validation", seed=5)[:, 0].numpy()) <= 0.03


def test_digits_are_answered(classifier, mnist):
    scans = [np.asarray(scan(row["image"], side=200)) for row in mnist["test"].select(range(100))]
    assert answered(classifier, scans) >= 0.97
