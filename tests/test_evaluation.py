import warnings
from io import BytesIO

import numpy as np
import pytest
import torch
from matplotlib.font_manager import fontManager
from matplotlib.ft2font import FT2Font

from digit_model.calibration import fit_temperature, fit_threshold
from digit_model.evaluation import DigitMetrics, accuracy_interval, expected_calibration_error, figures_row, measure
from digit_model.failures import draw_confusion, draw_mistakes


def scores_of(answers, confidence=0.9, labels=3) -> np.ndarray:
    scores = np.full((len(answers), labels), (1 - confidence) / (labels - 1))
    scores[np.arange(len(answers)), answers] = confidence
    return scores


def test_the_figures_of_a_small_example():
    figures = DigitMetrics(["a", "b", "c"]).compute(predictions=scores_of([0, 0, 1, 1]), references=[0, 0, 0, 1])
    assert figures["accuracy"] == 0.75
    assert figures["recall"] == {"a": pytest.approx(2 / 3), "b": 1.0}
    assert figures["macro_f1"] == pytest.approx((0.8 + 2 / 3) / 2)
    assert figures["ece"] == pytest.approx(0.15, abs=1e-6)


def test_scores_that_are_as_often_right_as_they_say_have_no_calibration_error():
    scores = scores_of([0] * 10, confidence=0.7)
    assert expected_calibration_error(scores, np.array([0] * 7 + [1] * 3)) == pytest.approx(0, abs=1e-9)
    assert expected_calibration_error(scores, np.array([1] * 10)) == pytest.approx(0.7)


def test_a_score_of_one_falls_into_the_last_bin():
    assert expected_calibration_error(scores_of([0], confidence=1.0), np.array([0])) == 0


def test_the_interval_holds_the_accuracy_and_narrows_with_n():
    low, high = accuracy_interval(0.99, 100)
    assert low < 0.99 < high <= 1
    narrow_low, narrow_high = accuracy_interval(0.99, 10_000)
    assert narrow_high - narrow_low < (high - low) / 5
    assert accuracy_interval(1.0, 10) == pytest.approx((0.7225, 1), abs=1e-3)


def test_rejecting_counts_what_is_answered_and_what_of_it_is_right():
    scores = np.concatenate([scores_of([0, 0, 1], confidence=0.95), scores_of([1, 0], confidence=0.5)])
    figures = measure(DigitMetrics(["a", "b", "c"]), scores, np.array([0, 0, 0, 0, 0]), threshold=0.9)
    assert (figures["n"], figures["accuracy"]) == (5, 0.6)
    assert figures["coverage"] == 0.6 and figures["selective_accuracy"] == pytest.approx(2 / 3)
    nothing = measure(DigitMetrics(["a", "b", "c"]), scores, np.zeros(5, int), 0.99)
    assert nothing["selective_accuracy"] is None and figures_row(nothing)["of these right"] == ""


def test_a_temperature_makes_scores_as_sure_as_they_are_right():
    torch.manual_seed(0)
    true = torch.randn(4000, 10) * 2
    labels = torch.distributions.Categorical(logits=true).sample()
    assert fit_temperature(true * 3, labels) == pytest.approx(3, rel=0.1)
    assert fit_temperature(true / 2, labels) == pytest.approx(0.5, rel=0.1)


def test_pictures_that_are_all_read_right_do_not_make_scores_surer_than_anything():
    logits = 8 * torch.eye(10).repeat(50, 1)
    assert 0.7 < fit_temperature(logits, torch.arange(10).repeat(50)) < 1


def test_the_threshold_lets_no_more_than_its_share_of_any_kind_through():
    many, few = np.linspace(0, 0.5, 10_000), np.linspace(0, 1, 1000)
    threshold = fit_threshold([many, few], answered=0.01)
    assert (many >= threshold).sum() == 0 and (few >= threshold).mean() == pytest.approx(0.01, abs=0.001)
    few = np.arange(50, dtype=np.float32) / 50
    assert (few >= np.float32(fit_threshold([few]))).sum() == 0  # one would be a fiftieth


def test_labels_in_another_script_are_drawn_in_a_font_that_has_them():
    usual, other = (
        set().union(*(FT2Font(font.fname).get_charmap() for font in fontManager.ttflist if font.name == name))
        for name in ("DejaVu Sans", "STIXGeneral")
    )
    labels = ["1", chr(min(other - usual))]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a glyph that is missing
        draw_confusion(np.array([0, 1]), np.array([0, 1]), labels).savefig(BytesIO())
        draw_mistakes(torch.zeros(1, 1, 28, 28), torch.tensor([[0.2, 0.8]]), torch.tensor([0]), labels).savefig(
            BytesIO()
        )


def test_a_confusion_matrix_grows_with_its_labels():
    few, many = (draw_confusion(np.zeros(3), np.zeros(3), list(map(str, range(count)))) for count in (10, 47))
    assert many.get_figwidth() > 2 * few.get_figwidth()
