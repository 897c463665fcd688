import copy

import numpy as np
import pytest
import torch
from conftest import scan
from PIL import Image, ImageChops, ImageDraw, ImageOps
from torch import nn
from transformers.utils import find_labels

from digit_model import DigitConfig, DigitForImageClassification, DigitImageProcessor, load_checkpoint
from digit_model.frame_digit import DigitFrame
from digit_model.modeling_digit import NO_LABEL, DigitConvLayer
from digit_model.pipeline_digit import SURE_SCORE

processor = DigitImageProcessor()


@pytest.fixture(scope="module")
def model() -> DigitForImageClassification:
    return load_checkpoint()[0]


def pages_of(images) -> torch.Tensor:
    return processor(images, return_tensors="pt")["pixel_values"]


@torch.inference_mode()
def answers(model, images) -> list[int]:
    return model(pages_of(images)).logits.argmax(-1).tolist()


def test_the_networks_stay_small():
    model = DigitForImageClassification(DigitConfig())
    for network in (model.ink, model.characters, model.classifier):
        assert sum(weight.numel() for weight in network.parameters()) <= 500_000


@torch.inference_mode()
def test_a_layer_gives_what_its_convolution_its_normalization_and_its_activation_give():
    torch.manual_seed(0)
    layer = DigitConvLayer(3, 8, stride=2).eval()
    for statistic in (layer.normalization.running_mean, layer.normalization.running_var, layer.normalization.weight):
        statistic.uniform_(0.5, 2)
    pictures = torch.rand(2, 3, 16, 16)
    one_by_one = layer.activation(layer.normalization(layer.convolution(pictures)))
    torch.testing.assert_close(layer(pictures), one_by_one)


def test_an_untrained_network_finds_few_characters_so_that_a_short_run_is_soon_calibrated(frames):
    model = DigitForImageClassification(DigitConfig()).eval()
    strip = frames.permute(1, 2, 0, 3).reshape(1, 1, 28, 280)
    ink = torch.nn.functional.pad(strip, (4, 4, 2, 2))
    with torch.inference_mode():
        assert model.characters(ink)[:, 0].sigmoid().max() < 0.2


def test_the_released_checkpoint_reads_the_shipped_test_digits(model, mnist):
    rows = mnist["test"]
    assert np.mean(np.array(answers(model, rows["image"])) == rows["label"]) >= 0.98


def test_drawn_and_scanned_pictures_read_like_their_frame(model, digits):
    scans = [scan(digit, side=150) for digit in digits]
    chalk = [ImageOps.invert(image) for image in scans]
    faint = [scan(digit, ink=170) for digit in digits]
    for pictures in (scans, chalk, faint):
        assert answers(model, pictures) == list(range(10))


def test_where_on_the_page_and_how_large_does_not_matter(model, digits):
    pictures = []
    for number, digit in enumerate(digits):
        page = Image.new("L", (300, 200), 250)
        stroke = digit.resize((50 + 8 * number,) * 2, Image.Resampling.BICUBIC)
        page.paste(30, (15 * number, 4 * number), stroke)
        pictures.append(page)
    assert answers(model, pictures) == list(range(10))


def test_a_frame_has_mnists_size_and_centre(model, digits):
    frames = model.to_frames(pages_of([scan(digit) for digit in digits]))[:, 0].detach().numpy()
    positions = np.arange(28) + 0.5
    for frame in frames:
        assert frame.max() == pytest.approx(1)
        rows, columns = np.flatnonzero(frame.max(1) > 0.3), np.flatnonzero(frame.max(0) > 0.3)
        assert 18 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 21
        assert (frame.sum(1) @ positions) / frame.sum() == pytest.approx(14, abs=0.2)
        assert (frame.sum(0) @ positions) / frame.sum() == pytest.approx(14, abs=0.2)


@pytest.mark.parametrize("tone", [0, 128, 255])
def test_a_blank_page_gives_every_label_the_same_score(model, tone):
    output = model(pages_of(Image.new("L", (90, 60), tone)))
    assert not output.logits.any() and not output.frames.any()


def test_a_blank_frame_gives_every_label_the_same_score(model):
    assert not model(torch.full((1, 1, 28, 28), 0.02)).logits.any()


@torch.inference_mode()
def test_a_page_that_is_not_read_surely_gets_the_mean_of_looks_at_several_sizes(model, digits):
    both = ImageChops.darker(*(scan(digits[digit], side=150) for digit in (3, 6)))
    pages = pages_of([scan(digits[3], side=150), both])
    at_first = model(frames=model.to_frames(pages)).logits
    assert at_first[1].softmax(0).max() < SURE_SCORE < at_first[0].softmax(0).max()
    output = model(pages)
    torch.testing.assert_close(output.logits[0], at_first[0])

    resized = [nn.functional.interpolate(pages[1:], (side, side), mode="bilinear") for side in (96, 128, 160, 192)]
    looks = [model(frames=model.to_frames(page)) for page in resized]
    torch.testing.assert_close(output.logits[1], torch.stack([look.logits[0] for look in looks]).mean(0))
    best = max(looks, key=lambda look: look.logits[0].softmax(0)[output.logits[1].argmax()])
    torch.testing.assert_close(output.frames[1], best.frames[0])


@torch.inference_mode()
def test_a_page_that_is_read_surely_once_calibrated_is_not_looked_at_again(model, digits, monkeypatch):
    sure = model.classifier.classify  # label smoothing keeps every score lower than that
    monkeypatch.setattr(model.classifier, "classify", lambda hidden_states: 0.2 * sure(hidden_states))
    page = pages_of(scan(digits[3], side=150))
    for temperature, is_looked_at_again in ((1.0, True), (0.2, False)):
        monkeypatch.setattr(model.config, "temperature", temperature)
        at_first = model(frames=model.to_frames(page)).logits
        assert (not torch.allclose(model(page).logits, at_first)) == is_looked_at_again


@torch.inference_mode()
def test_pages_that_come_with_their_ink_leave_the_frames_beside_them_alone(model, digits):
    frames = torch.cat([pages_of(digits[digit]) for digit in (3, 6)])
    strips, ink = torch.rand(2, 1, 96, 256), torch.zeros(2, 1, 96, 256)
    torch.testing.assert_close(model(strips, frames=frames, ink_targets=ink).logits, model(frames=frames).logits)


def test_a_list_may_mix_pages_and_frames(model, digits):
    pages = [pages_of(digits[0])[0], pages_of(scan(digits[1]))[0], pages_of(digits[2])[0]]
    with torch.inference_mode():
        assert model(pages).logits.argmax(-1).tolist() == [0, 1, 2]


def test_labels_give_a_loss_and_a_tuple_can_be_had(model, digits):
    right, wrong = (model(pages_of(digits), labels=torch.arange(10).roll(shift)).loss for shift in (0, 1))
    assert right < 0.1 < wrong
    assert len(model(pages_of(digits), return_dict=False)) == 2


def test_the_loss_of_labels_ink_and_characters_reaches_every_weight(digits):
    model = DigitForImageClassification(DigitConfig(hidden_sizes=[8, 8], depths=[1, 1]))
    pages = pages_of([scan(digit) for digit in digits])
    labels, ink_targets = torch.arange(10).repeat(2), (pages < 0.5).float()
    strings = {"strings": ink_targets, "character_targets": ink_targets[:, 0].long(), "letter_targets": labels % 2}
    model(pages, frames=pages_of(digits), labels=labels, ink_targets=ink_targets, **strings).loss.backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


def test_letters_are_learned_from_what_the_classifier_sees_and_teach_it_nothing(model, digits):
    model = copy.deepcopy(model)
    strings = (pages_of([scan(digit) for digit in digits]) < 0.5).float()
    pairs = torch.tensor([[picture, 1, 1] for picture in range(10)])
    shown = {"strings": strings, "character_targets": strings[:, 0].long(), "character_pairs": pairs}
    nothing = torch.full((10,), -100)
    for letters, is_learned in ((torch.arange(10) % 2, True), (nothing, False)):
        model.zero_grad()
        model(labels=nothing, letter_targets=letters, **shown).loss.backward()
        assert model.letters.weight.grad.any() == is_learned
        assert not any(weight.grad.any() for weight in model.classifier.parameters() if weight.grad is not None)


def test_characters_of_strings_are_read_after_the_frames_and_there_may_be_none(model, digits):
    pages, labels = pages_of([scan(digit) for digit in digits[:2]]), torch.tensor([0, 1])
    strings = (pages < 0.5).float()
    for named in ([], [[0, 1, 1], [1, 1, 1]]):
        characters = torch.tensor(named, dtype=torch.long).view(-1, 3)
        shown = {"strings": strings, "character_targets": strings[:, 0].long(), "character_pairs": characters}
        output = model(pages_of(digits[:2]), labels=torch.cat([labels, labels[: len(named)]]), **shown)
        assert torch.isfinite(output.loss) and len(output.frames) == 2 + len(named)


def test_a_page_whose_ink_is_not_found_teaches_no_label(model, digits):
    pages, labels = pages_of([scan(digit) for digit in digits]), torch.arange(10)
    elsewhere = torch.zeros(10, 1, 128, 128)
    elsewhere[:, :, 100:120, 5:120] = 1
    losses = [model(pages, labels=shown, ink_targets=elsewhere).loss for shown in (labels, labels.roll(1))]
    assert losses[0] == losses[1]
    found = model.ink(pages).sigmoid().round()
    losses = [model(pages, labels=shown, ink_targets=found).loss for shown in (labels, labels.roll(1))]
    assert losses[0] + 1 < losses[1]


def test_ink_that_is_found_where_there_is_none_teaches_that_it_is_no_label(model, digits):
    pages, nothing = pages_of([scan(digit) for digit in digits]), torch.zeros(10, 1, 128, 128)
    ink_alone, with_no_label = (
        model(pages, labels=torch.full((10,), label), ink_targets=nothing).loss for label in (-100, NO_LABEL)
    )
    assert ink_alone + 1 < with_no_label


def test_a_piece_of_a_rule_does_not_teach_that_a_plain_one_is_no_label(model, digits):
    paper = Image.new("L", (400, 400), 230)
    ImageDraw.Draw(paper).line([200, 100, 205, 300], fill=40, width=9)
    page, nothing = pages_of([paper]), torch.zeros(1, 1, 128, 128)
    losses = [model(page, labels=torch.tensor([label]), ink_targets=nothing).loss for label in (-100, NO_LABEL)]
    assert losses[0] == losses[1]


def test_frames_are_read_after_the_pages_of_a_batch(model, digits):
    pages, frames = pages_of([scan(digit) for digit in digits[:4]]), pages_of(digits[4:])
    with torch.inference_mode():
        assert model(pages, frames=frames).logits.argmax(-1).tolist() == list(range(10))


def test_pages_and_frames_are_read_together_under_autocast(model, digits):
    pages = [page[0] for page in (pages_of([digits[3]]), pages_of([scan(digits[7])]))]
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        assert model(pages).logits.argmax(-1).tolist() == [3, 7]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_pages_are_read_in_half_precision(digits, dtype):
    half, _ = load_checkpoint()
    with torch.inference_mode():
        assert half.to(dtype)(pages_of([scan(digits[3])]).to(dtype)).logits.argmax(-1).tolist() == [3]


def outputs_for(index: int) -> torch.Tensor:
    """What the classifier gives when it is sure of a label, or, with index 10, of none."""
    return torch.eye(11)[[index]] * 12


def test_the_score_of_no_label_is_shared_by_all_labels(model):
    scores = torch.cat([model._spread(outputs_for(index)).exp() for index in range(11)])
    assert torch.allclose(scores.sum(1), torch.ones(11))
    assert scores.argmax(1)[:10].tolist() == list(range(10)) and scores.amax(1)[:10].min() > 0.99
    assert scores[10].max() < 0.101


def test_a_picture_of_no_label_teaches_the_output_for_none(model):
    no_label, label, ignored = torch.tensor([NO_LABEL]), torch.tensor([3]), torch.tensor([-100])
    assert model._label_loss(outputs_for(10), no_label) < 0.01 < model._label_loss(outputs_for(3), no_label)
    assert model._label_loss(outputs_for(3), label) < 0.01 < model._label_loss(outputs_for(10), label)
    assert model._label_loss(outputs_for(3), ignored) == 0
    both = torch.cat([outputs_for(3), outputs_for(10)])
    assert model._label_loss(both, torch.cat([label, ignored])) == model._label_loss(outputs_for(3), label)


def test_a_smoothed_label_is_best_met_by_some_doubt(model):
    label = torch.tensor([3])
    doubtful = torch.full((1, 11), 0.1 / 11).index_fill(1, label, 1 - 0.1 * 10 / 11).log()
    losses = [model._label_loss(outputs, label, 0.1) for outputs in (doubtful, outputs_for(3), doubtful / 2)]
    assert losses[0] < min(losses[1:])


def test_the_temperature_changes_the_scores_and_no_answer(model, digits):
    with torch.inference_mode():
        cool = model(pages_of(digits)).logits
        temperature = model.config.temperature
        model.config.temperature = 2 * temperature
        warm = model(pages_of(digits)).logits
        model.config.temperature = temperature
    assert torch.allclose(warm * 2, cool, atol=1e-5)


def ink_of(*marks: tuple[slice, slice]) -> torch.Tensor:
    ink = torch.zeros(1, 1, 128, 128)
    for rows, columns in marks:
        ink[:, :, rows, columns] = 1
    return ink


STEM = (slice(30, 100), slice(60, 68))


@pytest.mark.parametrize(
    "dirt",
    [
        [(slice(8, 12), slice(8, 12))],  # a speck
        [(slice(0, 128), slice(122, 124))],  # a rest of a rule at the border
        [(slice(0, 10), slice(100, 128))],  # the corner of a table
        [(slice(row, row + 6), slice(0, 8)) for row in range(2, 126, 12)],  # the rings of a spiral
    ],
    ids=["speck", "rule", "table", "spiral"],
)
def test_the_frame_holds_the_digit_and_not_the_dirt(dirt):
    frame = DigitFrame(DigitConfig())
    assert torch.allclose(frame(ink_of(STEM, *dirt)), frame(ink_of(STEM)), atol=1e-5)


def test_the_frame_holds_all_strokes_of_a_digit():
    flag = (slice(30, 38), slice(76, 100))  # of a 5, not touching its stem
    frame = DigitFrame(DigitConfig())
    assert not torch.allclose(frame(ink_of(STEM, flag)), frame(ink_of(STEM)), atol=0.1)


def test_a_plain_trainer_takes_the_labels_for_all_that_evaluation_needs():
    assert find_labels(DigitForImageClassification) == ["labels"]


def test_a_mark_at_the_border_is_framed_where_there_is_no_other():
    frame = DigitFrame(DigitConfig())(ink_of((slice(0, 60), slice(0, 8))))
    assert frame.max() == 1
