"""MNIST (LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist/), from the Hub or a folder laid out like it."""

from collections import Counter
from pathlib import Path

import datasets
from datasets import ClassLabel, DatasetDict, load_dataset

from .errors import DataError, first_line

HUB_ID = "ylecun/mnist"
LABELS = [str(digit) for digit in range(10)]

# pictures of each class 0..9, as published; a wrong label order cannot give the same row
CLASS_COUNTS = {
    "train": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    "test": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
}

TEST_LABEL_ERRORS = (947, 1621, 1901, 2130, 2462, 2597, 2654, 3520, 3558, 5937, 6651, 6783, 8527, 9679, 9729)
"""
Places in the test split of the pictures whose label most of five people did not confirm (Northcutt et al., 2021,
"Pervasive Label Errors in Test Sets Destabilize Machine Learning Benchmarks"; mturk/mnist_mturk.json of
https://github.com/cleanlab/label-errors).
"""

FRAME_SIZE = 28
"""Side of an MNIST picture, in pixels."""


def load_mnist(source: str = HUB_ID) -> DatasetDict:
    """
    Args:
        source: A dataset id on the Hub, or a local folder in the layout of `ylecun/mnist`. A folder may hold a part
            of MNIST as long as no class is missing.

    Returns:
        Splits "train" and "test" with the columns `image` (28x28, ink bright on black) and `label` (ClassLabel).

    Raises:
        DataError: If it cannot be had, or is not MNIST.
    """
    dataset = _fetch(source)
    for split, published in CLASS_COUNTS.items():
        if split not in dataset or {"image", "label"} - set(dataset[split].column_names):
            raise DataError(f"{source} is not laid out like {HUB_ID}: it needs '{split}' with 'image' and 'label'.")
        label = dataset[split].features["label"]
        if not isinstance(label, ClassLabel) or label.names != LABELS:
            raise DataError(f"{source} has other labels in '{split}' than the digits 0 to 9 in their order.")
        _check_counts(source, split, Counter(dataset[split]["label"]), published)
    return DatasetDict({split: dataset[split].select_columns(["image", "label"]) for split in CLASS_COUNTS})


def _fetch(source: str) -> DatasetDict:
    if not Path(source).is_dir() and (source.count("/") != 1 or source.startswith((".", "/", "~"))):
        raise DataError(f"There is no MNIST folder {source}; check --mnist, or leave it out to load it from the Hub.")
    try:
        return load_dataset(source)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        if Path(source).is_dir():
            raise DataError(f"The folder {source} cannot be read as MNIST ({first_line(error)}).") from None
        raise DataError(
            f"MNIST cannot be loaded from {source} ({first_line(error)}): connect to the network and try again, or "
            f"pass --mnist FOLDER with a copy of the parquet files of {HUB_ID}."
        ) from None


def _check_counts(source: str, split: str, found: Counter, published: list[int]) -> None:
    counts = [found[label] for label in range(10)]
    is_whole = sum(counts) == sum(published)
    if (is_whole or source == HUB_ID) and counts != published:
        raise DataError(f"{source} has {counts} pictures of 0 to 9 in '{split}'; MNIST has {published}.")
    if 0 in counts or any(count > limit for count, limit in zip(counts, published)):
        raise DataError(f"{source} is no part of MNIST: '{split}' has {counts} pictures of 0 to 9.")
