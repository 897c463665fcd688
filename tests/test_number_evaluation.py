"""`python -m digit_model evaluate --task number-reading`, as a user runs it."""

import csv
import json
import shutil

import pandas as pd
import pytest
from conftest import PRETRAINED, call, page_of
from huggingface_hub import ModelCard
from PIL import Image

from digit_model.__main__ import main
from digit_model.model_card import model_card
from digit_model.number_evaluation import measure_numbers


@pytest.fixture
def folder(digits, tmp_path):
    """Five numbers, one of them with a wrong label, and a file that is no picture."""
    folder = tmp_path / "numbers"
    folder.mkdir()
    with (folder / "metadata.jsonl").open("w") as metadata:
        for number, text in enumerate(["12", "0453", "8", "70219", "631"]):
            page_of(digits, text).save(folder / f"{number}.png")
            label = "6319" if number == 4 else text
            row = {"file_name": f"{number}.png", "text": label, "boxes": [[label[0], 1, 2]]}
            metadata.write(json.dumps(row) + "\n")
        (folder / "5.png").write_bytes(b"no picture")
        metadata.write(json.dumps({"file_name": "5.png", "text": "1", "boxes": []}) + "\n")
    return folder


def evaluate(*arguments) -> None:
    call(main, "evaluate", "--task", "number-reading", *arguments)


def test_separators_in_a_label_are_no_mistake(digits, tmp_path):
    page_of(digits, "3200").save(tmp_path / "amount.png")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "amount.png", "text": "3,200.-"}')
    evaluate(tmp_path, "--json", tmp_path / "figures.json")
    (figures,) = json.loads((tmp_path / "figures.json").read_text()).values()
    assert figures["exact_match"] == 1


def test_the_figures_of_numbers_are_printed_and_reported(folder, tmp_path, capsys):
    target = tmp_path / "report"
    evaluate(folder, "--report", target, "--json", tmp_path / "figures.json")
    figures = json.loads((tmp_path / "figures.json").read_text())["numbers"]
    assert figures["n"] == 5 and figures["unreadable"] == 1 and figures["exact_match"] == 0.8
    assert figures["digit_error_rate"] == pytest.approx(1 / 16)
    assert figures["coverage"] >= 0.6 and 0.5 <= figures["selective_accuracy"] <= 1
    printed = capsys.readouterr()
    assert "80.00%" in printed.out and "digit error rate" in printed.out and "5.png is not a picture" in printed.err
    rows = list(csv.DictReader((target / "predictions.csv").open()))
    assert [row["best"] for row in rows[:5]] == ["12", "0453", "8", "70219", "631"]
    page = (target / "index.html").read_text()
    assert "4.png" in page and "6319" in page and "4_picture.png" in page and "5.png is not a picture" in page
    for image in (target / "images").iterdir():
        Image.open(image).load()


def test_the_figures_of_numbers_can_be_added_to_a_card(folder, tmp_path):
    checkpoint = shutil.copytree(PRETRAINED, tmp_path / "checkpoint")
    evaluate(folder, "--model", checkpoint, "--update_card")
    results = json.loads((checkpoint / "results.json").read_text())
    assert results["numbers"]["numbers"]["n"] == 5
    card = ModelCard.load(checkpoint / "README.md").content
    assert card == model_card(results).content and "| numbers | 5 |" in card


def test_what_is_answered_and_how_far_off_the_rest_is():
    table = pd.DataFrame(
        {
            "label": ["12", "345", "6", "7"],
            "best": ["12", "355", "6", ""],
            "text": ["12", "3?5", "6", ""],
            "score": [0.9, 0.1, 0.8, 0.0],
            "error": "",
        }
    )
    figures = measure_numbers(table)
    assert figures["exact_match"] == 0.5 and figures["digit_error_rate"] == pytest.approx(2 / 7)
    assert figures["coverage"] == 0.5 and figures["selective_accuracy"] == 1
