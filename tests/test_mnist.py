import datasets
import pandas as pd
import pytest
from conftest import MNIST
from datasets import ClassLabel

from data_prep.errors import DataError
from data_prep.mnist import LABELS, load_mnist


def test_a_local_folder_in_the_hubs_layout_loads():
    dataset = load_mnist(str(MNIST))
    assert dataset["train"].num_rows == 300 and dataset["test"].num_rows == 200
    assert dataset["train"].features["label"].names == [str(digit) for digit in range(10)]
    assert dataset["train"][0]["image"].size == (28, 28)


def test_without_network_and_folder_one_sentence_names_both_ways_out():
    with pytest.raises(DataError, match="connect to the network.*or pass --mnist FOLDER") as error:
        load_mnist()
    assert "\n" not in str(error.value)


def test_a_missing_folder_is_named():
    with pytest.raises(DataError, match="There is no MNIST folder ./nowhere"):
        load_mnist("./nowhere")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read as MNIST"):
        load_mnist(str(tmp_path))


def test_other_labels_are_refused(tmp_path, mnist):
    names = [str(digit) for digit in reversed(range(10))]
    for split, rows in mnist.items():
        rows.cast_column("label", ClassLabel(names=names)).to_parquet(tmp_path / f"{split}.parquet")
    with pytest.raises(DataError, match="other labels"):
        load_mnist(str(tmp_path))


def test_a_missing_class_is_refused(tmp_path, mnist):
    for split, rows in mnist.items():
        rows.filter(lambda label: label != 7, input_columns="label").to_parquet(tmp_path / f"{split}.parquet")
    with pytest.raises(DataError, match="no part of MNIST"):
        load_mnist(str(tmp_path))


def test_more_pictures_than_mnist_has_are_refused(tmp_path):
    rows = pd.read_parquet(MNIST / "mnist" / "test-00000-of-00001.parquet")
    labels = datasets.Features({"image": datasets.Image(), "label": ClassLabel(names=LABELS)})
    for split, copies in (("train", 1), ("test", 60)):
        table = datasets.Dataset.from_pandas(pd.concat([rows] * copies), preserve_index=False).cast(labels)
        table.to_parquet(tmp_path / f"{split}.parquet")
    with pytest.raises(DataError, match="no part of MNIST"):
        load_mnist(str(tmp_path))
