"""MNIST and custom pictures as one `DatasetDict`, with the validation split taken off the training data."""

from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value, concatenate_datasets

from .custom import read_custom
from .errors import DataError
from .mnist import HUB_ID, LABELS, load_mnist

LICENSES = {"mnist": "mit", "other_hands": "mit", "pendigits": "cc-by-4.0"}
"""Of the sources that are not the user's: MNIST's as its card on the Hub says, UCI's, and what this program draws."""


@dataclass
class DataArguments:
    """What to train on."""

    mnist: str = field(
        default=HUB_ID,
        metadata={"help": "MNIST: an id on the Hub, a local folder in the same layout, or 'none' to leave it out."},
    )
    custom_data: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Your own pictures, any number of: an image folder or a ZIP of one (<label>/<name>.png, or "
            "<label>/<writer>_<n>.png to keep writers apart), one with a metadata.jsonl or metadata.csv "
            "(file_name, label, writer), a parquet file, a dataset on the Hub, owner/name or owner/name:config."
        },
    )
    custom_license: str | None = field(
        default=None,
        metadata={"help": "The licence of --custom_data, for the cards, as the Hub names it: cc0-1.0, ..."},
    )
    not_digits: str | None = field(
        default=None,
        metadata={"help": "A folder of pictures that show no digit, for the score below which there is no answer."},
    )
    validation_fraction: float = field(
        default=0.1,
        metadata={"help": "Share of the training pictures held out: whole writers where known, else of each label."},
    )
    split_seed: int = field(default=42, metadata={"help": "Which pictures are held out; --seed does not change them."})

    def __post_init__(self):
        if not 0 < self.validation_fraction < 1:
            raise ValueError(f"--validation_fraction must lie between 0 and 1, got {self.validation_fraction}.")

    def license_of(self, source: str) -> str | None:
        """Under which a source's pictures are given; None where nobody has said."""
        return LICENSES.get(source, self.custom_license)


def merge(args: DataArguments, labels: list[str] | None = None, say: Callable[[str], None] = print) -> DatasetDict:
    """
    Args:
        args: Where the pictures come from and how they are split.
        labels: The labels of a model that is trained further; by default MNIST's, or those of the custom pictures.
        say: Gets the report of what was read and skipped.

    Returns:
        Splits "train", "validation" and "test" with the columns `image`, `label` (ClassLabel), `source` and `writer`
        ("" where unknown). "test" is MNIST's own and that of custom datasets that have one; where there is neither, it
        is held out like the validation split, of which custom datasets may have their own too.

    Raises:
        DataError: If a source cannot be used, or too little is left to split.
    """
    mnist = None if args.mnist == "none" else load_mnist(args.mnist)
    if mnist and labels not in (None, LABELS):
        raise DataError(f"MNIST has no labels {', '.join(labels)}: pass --mnist none.")
    parts = {"train": [], "validation": [], "test": []}
    if mnist:
        for split, rows in mnist.items():
            rows = rows.add_column("source", ["mnist"] * len(rows)).add_column("writer", [""] * len(rows))
            parts[split].append(rows.cast(_features(LABELS)))
    if args.custom_data:
        custom, report = read_custom(args.custom_data, labels or (LABELS if mnist else None), mnist)
        say(report)
        if taken := {name for rows in custom.values() for name in rows.unique("source")} & {*LICENSES, "pages"}:
            raise DataError(f"{taken.pop()} is the name of pictures of this program's own: rename what you pass.")
        labels = labels or (LABELS if mnist else _labels_of(custom))
        for split, rows in custom.items():
            parts[split].append(rows.cast(_features(labels)))
    if not parts["train"]:
        raise DataError("There is nothing to train on: leave out --mnist none, or pass --custom_data.")
    train = concatenate_datasets(parts["train"])
    if not parts["test"]:
        train, test = hold_out(train, args.validation_fraction, args.split_seed + 1)
    else:
        test = concatenate_datasets(parts["test"])
    own = {name for rows in parts["validation"] for name in rows.unique("source")}
    train, held = hold_out(train, args.validation_fraction, args.split_seed, own)
    return DatasetDict(train=train, validation=concatenate_datasets([held, *parts["validation"]]), test=test)


def hold_out(rows: Dataset, fraction: float, seed: int, but: Collection[str] = ()) -> tuple[Dataset, Dataset]:
    """
    Splits rows into those to keep and those to hold out, source by source.

    Where a source knows several writers, whole writers are held out, drawn at random until they make up the fraction,
    as long as that leaves half of the rows; of all other rows every label gives its share.

    Args:
        rows: With the columns `label`, `source` and `writer`.
        fraction: Share of the rows to hold out, in (0, 1).
        seed: The same seed holds out the same rows.
        but: Sources that keep all of their rows.

    Raises:
        DataError: If either part would be empty, the one held out only where every source is to give some.
    """
    table = rows.select_columns(["label", "source", "writer"]).to_pandas()
    random = np.random.default_rng(seed)
    held = np.zeros(len(table), dtype=bool)
    for _, source in table[~table["source"].isin(but)].groupby("source", sort=True):
        is_named = source["writer"] != ""
        if source.loc[is_named, "writer"].nunique() > 1:
            of_writers = _choose_writers(source[is_named], fraction, random)
            held[of_writers] = True
            source = source[~is_named] if len(of_writers) else source
        if len(source):
            held[_choose_stratified(source, fraction, random)] = True
    if held.all() or not (held.any() or but):
        raise DataError(f"{len(table)} pictures are too few to hold out {fraction:.0%}: add pictures or MNIST.")
    return rows.select(np.flatnonzero(~held)), rows.select(np.flatnonzero(held))


def _choose_writers(source: pd.DataFrame, fraction: float, random: np.random.Generator) -> np.ndarray:
    counts = source["writer"].value_counts().sort_index()
    counts = counts.iloc[random.permutation(len(counts))]
    wanted, most, chosen = fraction * len(source), max(2 * fraction, 0.5) * len(source), []
    for writer, count in counts.items():
        held = counts[chosen].sum()
        if held < wanted and held + count <= most:
            chosen.append(writer)
    if counts[chosen].sum() < wanted / 2:  # nearly all is by one, as where IMG_1.jpg and one other name are
        chosen = []
    return source.index[source["writer"].isin(chosen)].to_numpy()


def _choose_stratified(source: pd.DataFrame, fraction: float, random: np.random.Generator) -> np.ndarray:
    shuffled = source.iloc[random.permutation(len(source))].sort_values("label", kind="stable")
    # evenly spaced along the sorted labels: every label gives its share, and few pictures still give one
    wanted = max(1, round(fraction * len(source))) if len(source) > 1 else 0
    places = np.linspace(0, len(source), wanted, endpoint=False).astype(int)
    labels, chosen = shuffled["label"].to_numpy(), set()
    left = Counter(labels)  # of which the last one of a label is learned from
    for place in places:
        while place < len(labels) and (place in chosen or left[labels[place]] == 1):
            place += 1
        if place < len(labels):
            chosen.add(place)
            left[labels[place]] -= 1
    return shuffled.index[sorted(chosen) or places].to_numpy()


def count_table(dataset: DatasetDict) -> pd.DataFrame:
    """Pictures by split and source (rows) and by label (columns), with the sums."""
    tables = []
    for split, rows in dataset.items():
        names = rows.features["label"].names
        table = rows.select_columns(["source", "label"]).to_pandas()
        counts = pd.crosstab([pd.Series(split, index=table.index, name="split"), table["source"]], table["label"])
        tables.append(counts.reindex(columns=range(len(names)), fill_value=0).set_axis(names, axis=1))
    counts = pd.concat(tables)
    counts["all"] = counts.sum(axis=1)
    return counts


def _labels_of(dataset: DatasetDict) -> list[str]:
    """Every label there is, numbers in their own order and before the words."""
    labels = {label for rows in dataset.values() for label in rows.unique("label")}
    return sorted(labels, key=lambda label: (not label.isdecimal(), int(label) if label.isdecimal() else 0, label))


def _features(labels: list[str]) -> Features:
    return Features(
        {"image": Image(), "label": ClassLabel(names=labels), "source": Value("string"), "writer": Value("string")}
    )
