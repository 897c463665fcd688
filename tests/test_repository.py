"""What a stranger's clone must be: complete, in the agreed layout, with figures that were measured."""

import ast
import json
import re
import subprocess

import pytest
from conftest import PRETRAINED, ROOT
from huggingface_hub import ModelCard, SpaceCard

from digit_model.model_card import model_card, numbers_table, results_table

README = (ROOT / "README.md").read_text()
RESULTS = json.loads((PRETRAINED / "results.json").read_text())


def imports_of(package: str) -> set[str]:
    names = set()
    for file in (ROOT / package).glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize(("name", "table"), [("results", results_table), ("numbers", numbers_table)])
def test_the_readmes_figures_are_the_measured_ones(name, table):
    block = re.search(rf"<!-- {name}:.*?-->\n(.*?)\n<!-- /{name} -->", README, re.DOTALL)
    assert block[1] == table(RESULTS)


def test_the_shipped_card_is_the_one_its_results_give():
    again = "write it again: model_card(results).save(...)"
    assert ModelCard.load(PRETRAINED / "README.md").content == model_card(RESULTS).content, again


def test_the_readme_is_the_card_of_a_space():
    data = SpaceCard.load(ROOT / "README.md").data
    assert data.sdk == "gradio" and (ROOT / data.app_file).exists()
    pinned = re.search(r"gradio\S*>=([\d.]+)", (ROOT / "requirements.txt").read_text())[1]
    assert str(data.sdk_version).startswith(pinned)


def test_the_files_that_the_readme_links_to_exist():
    links = re.findall(r"\]\((?!http|#)([^)]+)\)", README)
    assert links and all((ROOT / link).exists() for link in links)


def test_the_two_packages_do_not_know_each_other():
    assert not imports_of("digit_model") & {"data_prep", "gradio", "train"}
    assert not imports_of("data_prep") & {"digit_model", "gradio", "train"}


@pytest.mark.parametrize("package", ["digit_model", "data_prep", "."])
def test_what_is_imported_is_required(package):
    import sys

    ours = {"digit_model", "data_prep", "train", "app"}
    names = {"PIL": "pillow", "pillow_heif": "pillow-heif", "sklearn": "scikit-learn"}
    required = set(re.findall(r"^([A-Za-z0-9_-]+)\S*>=", (ROOT / "requirements.txt").read_text(), re.MULTILINE))
    optional = {"onnx", "onnxruntime", "optuna"}  # those who need one are told how to install it
    third_party = imports_of(package) - ours - optional - set(sys.stdlib_module_names)
    assert {names.get(name, name) for name in third_party} <= required


def test_the_top_level_stays_as_agreed():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode != 0:
        pytest.skip("this is no git checkout")
    top = {line.split("/")[0] for line in tracked.stdout.splitlines()}
    agreed = {"app.py", "train.py", "digit_model", "data_prep", "tests", "requirements.txt", "README.md", "LICENSE"}
    assert {name for name in top if not name.startswith(".")} == agreed
