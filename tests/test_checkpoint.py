"""A checkpoint on its own: loading it, with and without our package, and what is said when that fails."""

import json
import shutil

import pytest
from conftest import PRETRAINED, ROOT, python, scan
from PIL import Image

from digit_model import CheckpointError, load_checkpoint

STRANGER = """
import sys
from transformers import AutoImageProcessor, AutoModelForImageClassification, pipeline
model, pictures = sys.argv[1], sys.argv[2:]
classifier = pipeline("image-classification", model=model, trust_remote_code=True)
print([answer[0]["label"] for answer in classifier(pictures, batch_size=4)])
AutoModelForImageClassification.from_pretrained(model, trust_remote_code=True).save_pretrained("again")
AutoImageProcessor.from_pretrained(model, trust_remote_code=True).save_pretrained("again")
again = pipeline("image-classification", model="again", trust_remote_code=True)
print([again(picture)[0]["label"] for picture in pictures])
classifier.save_pretrained("from_pipeline")
assert "digit_model" not in sys.modules
"""


@pytest.mark.parametrize("place", ["the repository", "a copy"])
def test_it_loads_and_saves_again_where_digit_model_was_never_imported(tmp_path, digits, place):
    checkpoint = PRETRAINED
    if place == "a copy":
        checkpoint = shutil.copytree(PRETRAINED, tmp_path / "copy")
    pictures = []
    for label, digit in enumerate(digits):  # MNIST frames, scans and drawings on nothing, in one batch
        picture = digit if label % 3 == 0 else scan(digit)
        if label % 3 == 2:
            picture = Image.new("RGBA", (96, 96), (20, 20, 90, 0))
            picture.putalpha(digit.resize(picture.size))
        pictures.append(str(tmp_path / f"{label}.png"))
        picture.save(pictures[-1])
    done = python("-c", STRANGER, checkpoint, *pictures, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().split("\n") == [str([str(label) for label in range(10)])] * 2
    for saved in ("again", "from_pipeline"):
        files = {file.name for file in (tmp_path / saved).iterdir()}
        assert {"config.json", "model.safetensors", "modeling_digit.py", "pipeline_digit.py"} <= files


def test_the_shipped_code_files_are_those_of_the_package():
    shipped = sorted(PRETRAINED.glob("*.py"))
    assert len(shipped) == 12
    for file in shipped:
        assert file.read_text() == (ROOT / "digit_model" / file.name).read_text(), f"save {file} again"


@pytest.mark.xfail(strict=True, reason="not reached yet: how photos are answered, and that in 45 minutes")
def test_the_shipped_results_meet_what_was_promised():
    results = json.loads((PRETRAINED / "results.json").read_text())
    photos = results["evaluation"]["photos"]
    assert results["validation"]["custom_digits"]["accuracy"] >= 0.99
    assert photos["accuracy"] >= 0.98 and photos["ece"] <= 0.015
    assert photos["coverage"] >= 0.98 and photos["selective_accuracy"] >= 0.995
    assert sum(run["train_minutes"] for run in results["runs"]) <= 45


def test_the_shipped_results_are_no_worse_than_they_were():
    results = json.loads((PRETRAINED / "results.json").read_text())
    mnist, custom = results["test"]["mnist"], results["validation"]["custom_digits"]
    assert mnist["n"] == 10_000 and mnist["accuracy"] >= 0.9965 and mnist["ece"] <= 0.005
    assert custom["accuracy"] >= 0.991
    photos, exif, others = (results["evaluation"][name] for name in ("photos", "photos_exif", "not_digits"))
    assert photos["n"] == 900 and photos["accuracy"] >= 0.988 and photos["ece"] <= 0.015
    assert photos["coverage"] >= 0.975 and photos["selective_accuracy"] >= 0.996
    assert exif["accuracy"] == 1
    floors = {
        "cheque_amounts": 0.849,
        "photos": 0.984,
        "apart": 0.924,
        "touching": 0.78,
        "forms": 0.806,
        "sheets": 0.93,
    }
    assert all(results["numbers"][name]["exact_match"] >= floor for name, floor in floors.items())
    assert others["n_others"] == 600 and others["others_answered"] <= 0.02
    nothing = results["evaluation"]["nothing"]
    assert nothing["n_others"] == 900 and nothing["others_answered"] <= 0.02


@pytest.mark.parametrize("missing", ["model.safetensors", "config.json", "preprocessor_config.json"])
def test_an_incomplete_checkpoint_is_one_sentence(tmp_path, missing):
    folder = shutil.copytree(PRETRAINED, tmp_path / "part")
    (folder / missing).unlink()
    with pytest.raises(CheckpointError, match="No digit model can be loaded from") as error:
        load_checkpoint(str(folder))
    assert "\n" not in str(error.value)


def test_damaged_weights_are_one_sentence(tmp_path):
    folder = shutil.copytree(PRETRAINED, tmp_path / "damaged")
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(CheckpointError, match="No digit model can be loaded from"):
        load_checkpoint(str(folder))


@pytest.mark.parametrize("config", ["{broken", '{"model_type": "digit", "dropout": 7.0}'])
def test_a_configuration_that_cannot_be_is_one_sentence(tmp_path, config):
    folder = shutil.copytree(PRETRAINED, tmp_path / "odd")
    (folder / "config.json").write_text(config)
    with pytest.raises(CheckpointError, match="No digit model can be loaded from") as error:
        load_checkpoint(str(folder))
    assert "\n" not in str(error.value)


def test_another_kind_of_model_is_named(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(CheckpointError, match="is a vit model"):
        load_checkpoint(str(tmp_path))


def test_a_model_that_is_nowhere_is_one_sentence():
    with pytest.raises(CheckpointError, match="No digit model can be loaded from me/nowhere"):
        load_checkpoint("me/nowhere")


def test_the_app_ends_with_that_sentence(tmp_path):
    done = python("app.py", DIGIT_MODEL=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.strip().split("\n")[-1].startswith("error: No digit model can be loaded from")
    assert "Traceback" not in done.stderr
