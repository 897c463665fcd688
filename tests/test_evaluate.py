"""`python -m digit_model evaluate`, as a user runs it."""

import csv
import json
import shutil
import zipfile
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest
from conftest import MNIST, PRETRAINED, call, last_words, page_of, python, scan
from datasets import ClassLabel, Dataset, Features, Value, load_dataset
from datasets import Image as ImageFeature
from huggingface_hub import ModelCard
from PIL import Image

from digit_model.__main__ import main
from digit_model.checkpoint import load_checkpoint
from digit_model.errors import DatasetError
from digit_model.labelled_pictures import load_labelled
from digit_model.model_card import model_card
from digit_model.pipeline_digit import DigitImageClassificationPipeline
from digit_model.report import evaluate_digits


@pytest.fixture(scope="module")
def folder(mnist, tmp_path_factory) -> Path:
    """30 scans in an image folder, one of them with a wrong label, beside two pictures of no digit."""
    folder = tmp_path_factory.mktemp("pictures") / "scans"
    for number, row in enumerate(mnist["test"].select(range(30))):
        label = row["label"] if number else (row["label"] + 1) % 10
        (folder / str(label)).mkdir(parents=True, exist_ok=True)
        scan(row["image"]).save(folder / str(label) / f"{number}.png")
    (folder / "cat").mkdir()
    for tone in (0, 255):
        Image.new("L", (50, 50), tone).save(folder / "cat" / f"{tone}.png")
    return folder


def evaluate(*arguments) -> str:
    with redirect_stdout(StringIO()) as output:
        call(main, "evaluate", *arguments)
    return output.getvalue()


@pytest.fixture(scope="module")
def report(folder, tmp_path_factory) -> tuple[str, Path]:
    target = tmp_path_factory.mktemp("report")
    return evaluate(folder, "--report", target, "--json", target / "figures.json"), target


def test_the_figures_are_printed_and_written(report):
    output, target = report
    figures = json.loads((target / "figures.json").read_text())["scans"]
    assert figures["n"] == 30 and 0.9 <= figures["accuracy"] <= 29 / 30
    assert figures["n_others"] == 2 and figures["others_answered"] == 0
    for name in ("accuracy (95 % interval)", "macro F1", "ECE", "answered", "of these right"):
        assert name in output
    assert f"{figures['accuracy']:.2%}" in output
    assert "pictures labelled cat count as showing none of the model's labels" in output


def test_the_report_shows_the_mistake_on_its_whole_way(report):
    _, target = report
    page = (target / "index.html").read_text()
    for step in ("picture", "page", "ink", "frame"):
        assert f"_{step}.png" in page
    assert ">0.png</td>" in page  # the wrongly labelled one
    images = {Path(name).name for name in page.split('"') if name.startswith("images/")}
    assert images == {file.name for file in (target / "images").iterdir()}
    assert {"confusion_matrix.png", "reliability.png", "coverage.png"} <= images
    for image in (target / "images").iterdir():
        Image.open(image).load()


def test_every_picture_has_its_row_of_predictions(report):
    _, target = report
    rows = list(csv.DictReader((target / "predictions.csv").open()))
    assert len(rows) == 32
    scores = [sum(float(row[f"score_{label}"]) for label in range(10)) for row in rows]
    assert scores == pytest.approx([1] * 32, abs=1e-4)
    assert all(row["answer"] == max("0123456789", key=lambda label: float(row[f"score_{label}"])) for row in rows)


def test_labels_may_be_called_like_the_columns_of_the_table(mnist, tmp_path):
    model, processor = load_checkpoint(PRETRAINED)
    names = ["file", "label", "error", "answer", "score", "is_known", "6", "7", "8", "9"]
    model.config.id2label, model.config.label2id = dict(enumerate(names)), {n: i for i, n in enumerate(names)}
    for number, row in enumerate(mnist["test"].select(range(10))):
        (tmp_path / names[row["label"]]).mkdir(exist_ok=True)
        row["image"].save(tmp_path / names[row["label"]] / f"{number}.png")
    classifier = DigitImageClassificationPipeline(model=model, image_processor=processor)
    figures = evaluate_digits("mine", load_labelled(str(tmp_path)), classifier, 4, tmp_path / "report")
    assert figures["n"] == 10 and figures["accuracy"] == 1
    assert (tmp_path / "report" / "index.html").exists()


def test_the_same_pictures_from_a_zip_parquet_or_metadata_give_the_same_figures(folder, report, tmp_path):
    figures = json.loads((report[1] / "figures.json").read_text())["scans"]
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        for file in folder.rglob("*.png"):
            archive.write(file, file.relative_to(folder.parent))
    load_dataset("imagefolder", data_dir=str(folder), split="train").to_parquet(tmp_path / "pictures.parquet")
    flat = tmp_path / "flat"
    flat.mkdir()
    with (flat / "metadata.jsonl").open("w") as metadata:
        for file in folder.rglob("*.png"):
            shutil.copy(file, flat / f"{file.parent.name}_{file.name}")
            metadata.write(
                json.dumps({"file_name": f"{file.parent.name}_{file.name}", "label": file.parent.name}) + "\n"
            )
    sources = [tmp_path / "pictures.zip", tmp_path / "pictures.parquet", flat]
    evaluate(*sources, "--json", tmp_path / "figures.json")
    others = json.loads((tmp_path / "figures.json").read_text())
    assert [others[source.name] == figures for source in sources] == [True] * 3


@pytest.mark.parametrize("separator", ["/", "\\"])
def test_labels_in_any_script_survive_a_zip_that_does_not_say_it_is_utf_8(folder, tmp_path, monkeypatch, separator):
    monkeypatch.setattr(zipfile.ZipInfo, "_encodeFilenameFlags", lambda self: (self.filename.encode(), self.flag_bits))
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        for label, bangla in enumerate("০১২৩৪৫৬৭৮৯"):
            archive.write(next((folder / str(label)).iterdir()), f"{bangla}{separator}0.png")
    assert sorted(load_labelled(str(tmp_path / "mine.zip"))["label"]) == sorted("০১২৩৪৫৬৭৮৯")


def test_a_dataset_in_the_layout_of_the_hub_is_measured_on_its_test_split(tmp_path):
    evaluate(MNIST, "--json", tmp_path / "figures.json")
    figures = json.loads((tmp_path / "figures.json").read_text())["mnist"]
    assert figures["n"] == 200 and figures["accuracy"] > 0.98
    evaluate(MNIST, "--split", "train", "--json", tmp_path / "figures.json")
    assert json.loads((tmp_path / "figures.json").read_text())["mnist"]["n"] == 300


def test_every_picture_counts_whatever_its_name_says_of_splits(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "scans [test]")
    for number, file in enumerate(sorted(copy.rglob("*.png"))[:5]):
        file.rename(file.with_name(f"test_{number}.png"))
    (copy / "3" / "._0.png").write_bytes(b"left by a Mac")
    assert "| scans [test] | 30 |" in evaluate(copy)


def test_folders_named_for_splits_are_splits(folder, tmp_path):
    for split in ("train", "test"):
        shutil.copytree(folder, tmp_path / "mine" / split)
    shutil.rmtree(tmp_path / "mine" / "test" / "cat")
    assert "| mine | 30 |" in evaluate(tmp_path / "mine") and "cat" not in evaluate(tmp_path / "mine")


def test_a_folder_test_beside_the_labels_is_what_is_measured(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "mine")
    shutil.copytree(folder / "3", tmp_path / "mine" / "Test" / "3")
    (tmp_path / "mine" / ".ipynb_checkpoints").mkdir()
    count = len(list((folder / "3").iterdir()))
    assert len(load_labelled(str(tmp_path / "mine"))) == count
    assert len(load_labelled(str(tmp_path / "mine"), "train")) == 32
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as archive:
        archive.writestr("__MACOSX/mine/._3", b"left by a Mac")
        for file in (tmp_path / "mine").rglob("*.png"):
            archive.write(file, file.relative_to(tmp_path))
    assert len(load_labelled(str(tmp_path / "mine.zip"))) == count


def test_a_table_of_bytes_that_datasets_did_not_write_is_one_of_pictures(folder, tmp_path):
    images = [{"bytes": file.read_bytes(), "path": file.name} for file in (folder / "3").iterdir()]
    pd.DataFrame({"image": images, "label": ["e\u0301"] * len(images)}).to_parquet(tmp_path / "mine.PARQUET")
    rows = load_labelled(str(tmp_path / "mine.PARQUET"))
    assert set(rows["label"]) == {"\u00e9"} and rows[0]["image"]["bytes"] == images[0]["bytes"]


def test_the_label_is_a_column_of_classes_whatever_its_name(folder, tmp_path):
    features = Features({"picture": ImageFeature(), "digit": ClassLabel(names=["three", "four"])})
    rows = {"picture": [str(file) for file in sorted(folder.glob("[0-9]/*.png"))[:2]], "digit": [1, 0]}
    Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "mine.parquet")
    assert load_labelled(str(tmp_path / "mine.parquet"))["label"] == ["four", "three"]


@pytest.mark.parametrize(("kind", "none"), [(ClassLabel(names=["three"]), -1), (Value("int64"), None)])
def test_pictures_without_a_label_are_not_taken_for_ones_of_no_digit(folder, tmp_path, kind, none):
    rows = {"image": [str(file) for file in sorted(folder.glob("[0-9]/*.png"))[:2]], "label": [0, none]}
    Dataset.from_dict(rows, Features({"image": ImageFeature(), "label": kind})).to_parquet(tmp_path / "mine.parquet")
    with pytest.raises(DatasetError, match="without a label"):
        load_labelled(str(tmp_path / "mine.parquet"))


def test_a_zip_that_has_changed_is_measured_anew(folder, tmp_path):
    for count in (10, 20):
        with zipfile.ZipFile(tmp_path / "scans.zip", "w") as archive:
            for file in sorted(folder.glob("[0-9]/*.png"))[:count]:
                archive.write(file, file.relative_to(folder))
        assert f"| scans.zip | {count} |" in evaluate(tmp_path / "scans.zip")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("metadata.jsonl", '{"file_name": "0.png", "label": 7}\n{"file_name": "1.png"}\n', "needs a label in every"),
        ("metadata.csv", "file_name,label\n0.png,3\n1.png,\n", "needs a label in every line"),
        ("metadata.csv", "file_name,label\n", "needs a file_name in every line"),
        ("metadata.csv", "name,label\n0.png,3\n", "needs a file_name in every line"),
    ],
)
def test_a_line_without_a_name_or_label_is_one_sentence(name, content, sentence, tmp_path):
    (tmp_path / name).write_text(content)
    assert sentence in last_words(main, "evaluate", tmp_path)


def test_an_unreadable_picture_is_named_and_the_others_are_measured(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "3" / "broken.png").write_bytes(b"no picture")
    done = python("-m", "digit_model", "evaluate", copy, "--report", tmp_path / "report")
    assert done.returncode == 0 and "broken.png is not a picture" in done.stderr
    assert "| 30 |" in done.stdout and "unreadable" in done.stdout
    assert "broken.png is not a picture" in (tmp_path / "report" / "index.html").read_text()


def test_the_figures_can_be_added_to_a_checkpoints_card(folder, tmp_path):
    checkpoint = shutil.copytree(PRETRAINED, tmp_path / "checkpoint")
    evaluate(folder, "--model", checkpoint, "--update_card")
    results = json.loads((checkpoint / "results.json").read_text())
    assert results["evaluation"]["scans"]["n"] == 30
    card = ModelCard.load(checkpoint / "README.md").content
    assert card == model_card(results).content and "| scans | 30 |" in card


def test_a_label_keeps_its_zeros_in_a_table(digits, tmp_path):
    page_of(digits, "0042").save(tmp_path / "number.png")
    (tmp_path / "metadata.csv").write_text("file_name,label\nnumber.png,0042\n")
    output = evaluate(tmp_path, "--task", "number-reading")
    assert "| 1 | 100.00%" in output


def test_a_label_keeps_its_zeros_in_a_table_of_a_split(digits, tmp_path):
    (tmp_path / "test").mkdir()
    page_of(digits, "0042").save(tmp_path / "test" / "number.png")
    (tmp_path / "test" / "metadata.csv").write_text("file_name,label\nnumber.png,0042\n")
    assert "| 1 | 100.00%" in evaluate(tmp_path, "--task", "number-reading")


def test_two_folders_of_one_name_are_told_apart(folder, tmp_path):
    other = shutil.copytree(folder, tmp_path / "scans")
    evaluate(folder, other, "--json", tmp_path / "figures.json", "--report", tmp_path / "report")
    assert len(json.loads((tmp_path / "figures.json").read_text())) == 2
    assert len(list((tmp_path / "report").rglob("index.html"))) == 2


@pytest.mark.parametrize("task", ["image-classification", "number-reading"])
def test_nothing_but_damaged_pictures_is_one_sentence(tmp_path, task):
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "broken.png").write_bytes(b"no picture")
    assert "None of the 1 pictures can be read" in last_words(main, "evaluate", tmp_path, "--task", task)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["./nowhere"], "./nowhere cannot be read"),
        ([MNIST, "./nowhere"], "./nowhere cannot be read"),
        ([MNIST, "--split", "summer"], "has the splits train, test: name one with --split"),
        ([MNIST, "--model", "./nowhere"], "No digit model can be loaded from ./nowhere"),
        (["tests/test_evaluate.py"], "tests/test_evaluate.py is a file; name an image folder"),
        ([MNIST, "--json", "./nowhere/figures.json"], "make its folder first"),
        ([MNIST, "--json", "tests"], "tests cannot be a file"),
        ([MNIST, "--report", "tests/test_evaluate.py"], "tests/test_evaluate.py"),
    ],
)
def test_bad_input_ends_with_one_sentence(arguments, sentence):
    assert sentence in last_words(main, "evaluate", *arguments)
