"""Pictures that show no digit get no answer: hardly any top score reaches the model's threshold."""

import json

import numpy as np
import pytest
from conftest import call, scan
from PIL import Image

from data_prep import draw_not_digits
from data_prep.__main__ import main as data_prep
from data_prep.letters import handwritten_letter
from data_prep.nothing import KINDS
from digit_model import DigitImageClassificationPipeline, load_checkpoint
from digit_model.__main__ import main as digit_model

LABELS = list("0123456789")


@pytest.fixture(scope="module")
def classifier() -> DigitImageClassificationPipeline:
    model, processor = load_checkpoint()
    return DigitImageClassificationPipeline(model=model, image_processor=processor)


def answered(classifier: DigitImageClassificationPipeline, pictures: list[Image.Image]) -> float:
    """The share of the pictures that is given a label."""
    answers = classifier(pictures, top_k=1, batch_size=50)
    return np.mean([answer[0]["score"] >= classifier.model.config.rejection_threshold for answer in answers])


@pytest.mark.parametrize(("kind", "count"), [("blank", 1000), ("noise", 200), ("scribble", 200)])
def test_what_shows_nothing_is_not_answered(classifier, kind, count):
    assert answered(classifier, KINDS[kind](count, seed=1)) <= 0.02


def test_the_command_writes_what_evaluate_measures(tmp_path):
    call(data_prep, "nothing", "--count", "4", "--output_dir", tmp_path / "nothing")
    call(digit_model, "evaluate", tmp_path / "nothing", "--json", tmp_path / "figures.json")
    figures = json.loads((tmp_path / "figures.json").read_text())["nothing"]
    assert figures["n_others"] == 12 and "n" not in figures


def test_letters_of_a_font_it_has_not_seen_are_hardly_ever_answered(classifier):
    letters = draw_not_digits(400, LABELS, "validation", seed=5)[0][:, 0].numpy()
    assert answered(classifier, [Image.fromarray(letter) for letter in letters]) <= 0.03


def test_letters_as_people_write_them_are_hardly_ever_answered(classifier):
    random = np.random.default_rng(7)
    assert answered(classifier, [handwritten_letter(random) for _ in range(400)]) <= 0.03


def test_digits_are_answered(classifier, mnist):
    scans = [scan(row["image"], side=200) for row in mnist["test"].select(range(100))]
    assert answered(classifier, scans) >= 0.97
