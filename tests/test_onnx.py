"""The model for ONNX Runtime gives what PyTorch gives."""

import csv
import json

import numpy as np
import pytest
import torch
from conftest import PRETRAINED, call, last_words, page_of, photo_of, scan

from digit_model import load_checkpoint
from digit_model.__main__ import main

onnxruntime = pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    file = tmp_path_factory.mktemp("onnx") / "digits.onnx"
    call(main, "export", file)
    return onnxruntime.InferenceSession(str(file))


@pytest.mark.slow
def test_scores_are_those_of_pytorch_for_any_number_of_pages(session, digits):
    model, processor = load_checkpoint()
    pictures = [photo_of(digits, str(number)) for number in range(10)] + [scan(digits[3], side=400)]
    pages = torch.cat([processor(picture, return_tensors="pt")["pixel_values"] for picture in pictures])
    with torch.no_grad():
        expected = model(pages).logits.softmax(-1).numpy()
    for count in (1, len(pages)):
        (scores,) = session.run(None, {"pixel_values": pages[:count].numpy()})
        np.testing.assert_allclose(scores, expected[:count], atol=1e-3)
    assert (expected.argmax(1)[:10] == np.arange(10)).mean() > 0.7


@pytest.mark.slow
def test_a_page_without_ink_gives_every_label_the_same_score(session):
    side = session.get_inputs()[0].shape[-1]
    (scores,) = session.run(None, {"pixel_values": np.full((1, 1, side, side), 0.8, dtype=np.float32)})
    np.testing.assert_allclose(scores, 0.1, atol=1e-3)


@pytest.mark.slow
def test_the_file_knows_its_labels_and_threshold(session):
    properties = session.get_modelmeta().custom_metadata_map
    config = json.loads((PRETRAINED / "config.json").read_text())
    assert json.loads(properties["labels"]) == list("0123456789")
    assert float(properties["rejection_threshold"]) == config["rejection_threshold"]


@pytest.mark.slow
def test_read_gives_the_same_rows_with_either_backend(digits, tmp_path):
    for number, text in enumerate(["42", "90210", "7"]):
        page_of(digits, text, side=40 + 30 * number).save(tmp_path / f"{number}.png")
    rows = []
    for backend in ("torch", "onnx"):
        call(main, "read", tmp_path, "--csv", tmp_path / f"{backend}.csv", "--backend", backend, "--num_proc", "1")
        rows.append(list(csv.DictReader((tmp_path / f"{backend}.csv").read_text().splitlines())))
    assert [row["text"] for row in rows[0]] == [row["text"] for row in rows[1]]
    scores = [[float(row["score"]) for row in part] for part in rows]
    np.testing.assert_allclose(*scores, atol=1e-2)


def test_without_onnx_runtime_one_sentence_says_what_to_install(monkeypatch, tmp_path, digits):
    scan(digits[3]).save(tmp_path / "three.png")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for arguments in (["export", tmp_path / "digits.onnx"], ["read", tmp_path, "--backend", "onnx"]):
        assert "pip install onnx onnxscript" in last_words(main, *arguments)
