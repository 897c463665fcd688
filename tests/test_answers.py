"""What the app shows of an answer: likely texts, what the model saw, and why."""

import numpy as np
import pytest
import torch
from conftest import page_of, scan
from PIL import Image

from digit_model import NumberReadingPipeline, load_checkpoint
from digit_model.answers import Answers, likely_texts
from digit_model.explanation import Explainer, draw_strokes


@pytest.fixture(scope="module")
def answers():
    return Answers(*load_checkpoint())


def saved(image: Image.Image, tmp_path) -> str:
    image.save(tmp_path / "picture.png")
    return str(tmp_path / "picture.png")


def test_one_digit_has_three_answers_and_what_was_looked_at(answers, digits, tmp_path):
    answer = answers(saved(scan(digits[7], side=200), tmp_path))
    assert answer.text == answer.sure == "7" and answer.is_sure
    assert list(answer.scores) == sorted(answer.scores, key=answer.scores.get, reverse=True)
    assert len(answer.scores) == 3 and answer.frames.shape == (1, 1, 28, 28) and len(answer.characters) == 1
    assert answer.looks.height > 112 and answer.figure.size == (200, 200)


def test_a_number_has_a_frame_and_a_cut_out_for_each_digit(answers, digits, tmp_path):
    answer = answers(saved(page_of(digits, "42", "07"), tmp_path))
    assert answer.text == "42\n07" and next(iter(answer.scores)) == "42\n07" and len(answer.scores) == 3
    assert answer.frames.shape == (4, 1, 28, 28)
    for character, label in zip(answer.characters, "4207"):
        assert answers(np.asarray(character.convert("RGBA"))).text == label


def test_one_small_digit_is_found_on_a_large_page(answers, digits, tmp_path):
    page = Image.new("L", (4000, 3000), 235)
    page.paste(40, (2700, 1800), digits[5].resize((110, 110), Image.Resampling.BICUBIC))
    answer = answers(saved(page, tmp_path))
    assert answer.text == answer.sure == "5" and len(answer.characters) == 1


def test_a_blank_canvas_has_no_answer(answers):
    answer = answers(np.zeros((300, 300, 4), dtype=np.uint8))
    assert answer.text == "" and answer.scores == {} and answer.looks is None and not answer.is_sure


def test_likely_texts_change_the_weakest_sign_first():
    def digit(*scores):
        top = [{"label": str(index), "score": score} for index, score in enumerate(scores)]
        return {"label": "0", "score": scores[0], "top": top}

    reading = {"text": "000", "score": 0.5, "digits": [digit(0.99, 0.01), digit(0.6, 0.4), digit(0.9, 0.1)]}
    texts = likely_texts(reading)
    assert [text for text, _ in texts] == ["000", "010", "001"]
    assert texts[0][1] == pytest.approx(0.5) and texts[1][1] == pytest.approx(0.5 * 0.4 / 0.6)


def test_a_page_of_letters_has_likely_texts_too():
    unsure = {"label": "0", "score": 0.3, "top": [{"label": "0", "score": 0.3}, {"label": "1", "score": 0.2}]}
    (text, score), *others = likely_texts({"text": "?" * 2000, "score": 0.0, "digits": [unsure] * 2000})
    assert text == "0" * 2000 and score == 0 and len(others) == 2


def test_sixteen_bits_are_shown_and_kept_as_they_look(answers, digits, tmp_path):
    grey = scan(digits[7], side=200)
    answer = answers(saved(Image.fromarray(np.asarray(grey).astype(np.uint16) * 257), tmp_path))
    (character,) = answer.characters
    assert answer.text == "7" and np.array_equal(np.asarray(character), np.asarray(grey))
    assert np.array_equal(np.asarray(answer.figure.convert("L")), np.asarray(grey))


def test_the_strokes_that_spoke_for_an_answer_lie_on_its_ink_and_add_up_to_its_lead(answers, mnist):
    frames = torch.from_numpy(np.stack([np.asarray(image) for image in mnist["train"]["image"]]))[:, None].float() / 255
    labels = [str(label) for label in mnist["train"]["label"]]
    explainer = Explainer(answers.model, frames, labels)
    for frame, label in zip(frames[:10], labels):
        why = explainer.explain(frame)
        assert why.label == label != why.runner_up
        with torch.inference_mode():
            outputs = answers.model.classifier(torch.cat([frame[None], torch.zeros_like(frame)[None]]))
        lead = outputs[:, int(why.label)] - outputs[:, int(why.runner_up)]
        assert why.strokes.sum() == pytest.approx(float(lead[0] - lead[1]), rel=0.25)
        assert np.abs(why.strokes[frame[0] == 0]).sum() == 0
        assert draw_strokes(frame, why.strokes).size == (224, 224)


def test_the_most_similar_training_digits_show_the_same(answers, mnist):
    frames = torch.from_numpy(np.stack([np.asarray(image) for image in mnist["train"]["image"]]))[:, None].float() / 255
    labels = [str(label) for label in mnist["train"]["label"]]
    explainer = Explainer(answers.model, frames, labels)
    found = [[name for _, name in explainer.similar(frame)] for frame in frames[:20]]
    assert all(names[0] == label for names, label in zip(found, labels))  # itself
    assert np.mean([name == label for names, label in zip(found, labels) for name in names]) > 0.9


def test_what_a_pipeline_was_built_with_holds_for_its_calls(digits):
    model, processor = load_checkpoint()
    reader = NumberReadingPipeline(model=model, image_processor=processor, top_k=1, with_images=True)
    (digit,) = reader(scan(digits[7], side=200))["digits"]
    assert len(digit["top"]) == 1 and digit["frame"].size == (28, 28)
    reading = reader(scan(digits[7], side=200), top_k=2, with_images=False)
    assert len(reading["digits"][0]["top"]) == 2 and "ink" not in reading
