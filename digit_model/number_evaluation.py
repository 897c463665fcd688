"""How well whole numbers are read."""

import numpy as np
import pandas as pd
from datasets import Dataset
from rapidfuzz.distance import Levenshtein
from transformers import Pipeline

from .errors import DatasetError
from .evaluation import accuracy_interval, expected_calibration_error, percent
from .labelled_pictures import open_labelled
from .pipeline_digit import UNREADABLE, signs_of

SEPARATORS = " .,-="
"""What may stand in a number and in the label of one, and is left out of every reading."""


def best_text(reading: dict, labels: list[str] | None = None) -> str:
    """The text of a reading with these labels, or the best guesses, as if the model would stand behind all of them."""
    labels = iter(labels or [digit["label"] for digit in reading["digits"]])
    return "".join(sign if sign == "\n" else next(labels) for sign in signs_of(reading))


def read_numbers(reader: Pipeline, rows: Dataset, batch_size: int = 32) -> pd.DataFrame:
    """
    Reads pictures, as `load_labelled` gives them, through `pipeline("number-reading")`.

    Returns:
        A row a picture: `file`, `label` (without `SEPARATORS` that are none of the model's labels), `error` (why a
        picture could not be read, else ""), `text`, `score`, `best` (the text with the best guess in place of every
        `?`) and `reading`, all that the pipeline gives.

    Raises:
        DatasetError: If none of them can be read.
    """
    described = []
    readings = list(reader(open_labelled(rows, described), batch_size=batch_size))
    table = pd.DataFrame(described)
    left_out = set(SEPARATORS).difference(*reader.model.config.id2label.values())
    table["label"] = table["label"].str.translate(str.maketrans("", "", "".join(left_out)))
    if not readings:
        raise DatasetError(f"None of the {len(rows)} pictures can be read: {table['error'].iloc[0]}")
    is_readable = table["error"] == ""
    table["reading"] = pd.Series(readings, index=table.index[is_readable], dtype=object)
    for name, read in (("text", lambda r: r["text"]), ("best", best_text), ("score", lambda r: r["score"])):
        table[name] = pd.Series([read(reading) for reading in readings], index=table.index[is_readable])
    return table


def measure_numbers(table: pd.DataFrame) -> dict:
    """
    Args:
        table: What `read_numbers` gives.

    Returns:
        `n`, `unreadable`, `exact_match` of the best guesses with its `accuracy_interval`, `digit_error_rate` (edit
        distance over length, all numbers together), `ece` of the numbers' scores, `coverage`, the share that is
        answered without a `?`, and `selective_accuracy`, which share of those is right, None if
        there is none.
    """
    is_readable = table["error"] == ""
    read = table[is_readable]
    is_right = (read["best"] == read["label"]).to_numpy()
    is_answered = ~read["text"].str.contains(UNREADABLE, regex=False).to_numpy() & (read["text"] != "").to_numpy()
    distances = [Levenshtein.distance(best, label) for best, label in zip(read["best"], read["label"])]
    scores = read["score"].to_numpy(dtype=float)
    return {
        "n": len(read),
        "unreadable": int((~is_readable).sum()),
        "exact_match": float(is_right.mean()),
        "accuracy_interval": accuracy_interval(is_right.mean(), len(read)),
        "digit_error_rate": sum(distances) / max(1, sum(map(len, read["label"]))),
        "ece": expected_calibration_error(np.stack([scores, 0 * scores], 1), (~is_right).astype(int)),
        "coverage": float(is_answered.mean()),
        "selective_accuracy": float(is_right[is_answered].mean()) if is_answered.any() else None,
    }


def number_row(figures: dict) -> dict[str, str]:
    """What `measure_numbers` gives, as a person reads it: title -> text."""
    low, high = figures["accuracy_interval"]
    row = {
        "n": f"{figures['n']:,}",
        "exact (95 % interval)": f"{figures['exact_match']:.2%} ({low:.2%} to {high:.2%})",
        "digit error rate": f"{figures['digit_error_rate']:.2%}",
        "ECE": f"{figures['ece']:.2%}",
        "answered": f"{figures['coverage']:.2%}",
        "of these right": percent(figures["selective_accuracy"]),
    }
    return row | ({"unreadable": f"{figures['unreadable']:,}"} if figures["unreadable"] else {})
