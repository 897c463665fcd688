"""
How good the answers are, and how far their scores can be believed.

`evaluate.evaluator` would fit but that it still asks for `transformers.TFPreTrainedModel`, which is gone.
"""

from collections.abc import Callable, Iterable

import datasets
import evaluate
import numpy as np
import pandas as pd
from datasets import Dataset
from scipy.stats import binomtest
from sklearn.metrics import f1_score, recall_score
from transformers import Pipeline

from .errors import DatasetError
from .labelled_pictures import open_labelled


class DigitMetrics(evaluate.Metric):
    """
    Accuracy, macro F1, recall of every label, and expected calibration error, all in [0, 1].

    `compute(predictions=, references=)` takes scores of shape (N, num_labels) that sum to 1, and the true labels (N,).
    """

    def __init__(self, labels: list[str], **kwargs):
        self.labels = labels
        super().__init__(keep_in_memory=True, **kwargs)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self.__doc__,
            citation="",
            features=datasets.Features(
                {"predictions": datasets.Sequence(datasets.Value("float32")), "references": datasets.Value("int64")}
            ),
        )

    def _compute(self, predictions, references) -> dict[str, float | dict[str, float]]:
        scores, references = np.asarray(predictions), np.asarray(references)
        answers, indices = scores.argmax(1), range(len(self.labels))
        recall = recall_score(references, answers, labels=indices, average=None, zero_division=np.nan)
        is_there = np.isin(indices, references)
        return {
            "accuracy": float((answers == references).mean()),
            "macro_f1": float(f1_score(references, answers, labels=np.flatnonzero(is_there), average="macro")),
            "ece": expected_calibration_error(scores, references),
            "recall": {label: float(r) for label, r, known in zip(self.labels, recall, is_there) if known},
        }


def calibration_bins(confidence: np.ndarray, is_right: np.ndarray, bins: int = 15) -> pd.DataFrame:
    """
    Args:
        confidence: (N,), top scores in [0, 1].
        is_right: bool (N,).
        bins: Equally wide ones, of which those without a picture are left out.

    Returns:
        A row a bin: mean `confidence`, `accuracy` and `count`.
    """
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    table = pd.DataFrame({"confidence": confidence, "accuracy": is_right, "count": 1})
    return table.groupby(bin_of).agg({"confidence": "mean", "accuracy": "mean", "count": "sum"})


def expected_calibration_error(scores: np.ndarray, references: np.ndarray) -> float:
    """
    How far the top score is from the share of right answers, on average over the pictures (Guo et al., 2017, "On
    Calibration of Modern Neural Networks").

    Args:
        scores: (N, num_labels), each row sums to 1.
        references: (N,), the true labels.

    Returns:
        In [0, 1]; 0 is perfect.
    """
    bins = calibration_bins(scores.max(1), scores.argmax(1) == references)
    return float(((bins["confidence"] - bins["accuracy"]).abs() * bins["count"]).sum() / len(references))


def measure(metrics: DigitMetrics, scores: np.ndarray, references: np.ndarray, threshold: float) -> dict:
    """
    Every figure of a table of results.

    Args:
        metrics: Of the model's labels.
        scores: (N, num_labels), each row sums to 1.
        references: (N,), the true labels.
        threshold: Top score, in [0, 1], from which an answer is believed.

    Returns:
        `n`, `accuracy_interval`, what `DigitMetrics` computes, and, of the answers that are believed, `coverage`, their
        share, and `selective_accuracy`, which share of them is right (Geifman and El-Yaniv, 2017, "Selective
        Classification for Deep Neural Networks"); None if there is none.
    """
    scores, references = np.asarray(scores), np.asarray(references)
    figures = metrics.compute(predictions=scores, references=references)
    is_answered, is_right = scores.max(1) >= threshold, scores.argmax(1) == references
    return {
        "n": len(references),
        "accuracy_interval": accuracy_interval(figures["accuracy"], len(references)),
        **figures,
        "coverage": float(is_answered.mean()),
        "selective_accuracy": float(is_right[is_answered].mean()) if is_answered.any() else None,
    }


def accuracy_interval(accuracy: float, n: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of an accuracy measured on n pictures (Wilson, 1927)."""
    interval = binomtest(round(accuracy * n), n).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def predict(classifier: Pipeline, rows: Dataset, batch_size: int = 32) -> pd.DataFrame:
    """
    Reads pictures, as `load_labelled` gives them, through `pipeline("image-classification")`.

    Returns:
        A row a picture: `file`, `label`, `error` (why a picture could not be read, else ""), `is_known` (whether the
        model has that label), `answer`, `score`, and the score of every label in those of `score_columns`.

    Raises:
        DatasetError: If none of them can be read.
    """
    config, described = classifier.model.config, []
    pictures = open_labelled(rows, described, classifier.image_processor.draft_side)
    answers = list(classifier(pictures, batch_size=batch_size, top_k=config.num_labels))
    table = pd.DataFrame(described)
    table["is_known"] = table["label"].isin(list(config.label2id))
    if not answers:
        raise DatasetError(f"None of the {len(rows)} pictures can be read: {table['error'].iloc[0]}")
    scores = pd.DataFrame([{answer["label"]: answer["score"] for answer in each} for each in answers])
    scores = scores[list(config.id2label.values())].set_axis(table.index[table["error"] == ""])
    top = pd.DataFrame({"answer": scores.idxmax(axis=1), "score": scores.max(axis=1)})
    return table.join(top).join(scores.set_axis(score_columns(scores), axis=1))


def score_columns(labels: Iterable[str]) -> list[str]:
    """The columns of the scores of these labels in what `predict` gives."""
    return [f"score_{label}" for label in labels]


def summarize(table: pd.DataFrame, metrics: DigitMetrics, threshold: float) -> dict:
    """
    Args:
        table: What `predict` gives.
        metrics: Of the model's labels.
        threshold: Top score, in [0, 1], from which an answer is believed.

    Returns:
        `unreadable`, the number of pictures that could not be read; what `measure` gives on the pictures with a label
        of the model's, if any; and of the others, which show none of its labels, their number `n_others` and
        `others_answered`, the share that was given one all the same.
    """
    is_readable = table["error"] == ""
    known, others = table[is_readable & table["is_known"]], table[is_readable & ~table["is_known"]]
    figures = {"unreadable": int((~is_readable).sum()), "n_others": len(others)}
    if len(known):
        references = known["label"].map(metrics.labels.index).to_numpy()
        figures |= measure(metrics, known[score_columns(metrics.labels)].to_numpy(), references, threshold)
    if len(others):
        figures["others_answered"] = float((others["score"] >= threshold).mean())
    return figures


def figures_row(figures: dict) -> dict[str, str]:
    """What `measure` or `summarize` gives, as a person reads it: title -> text, only of the figures that are there."""
    row = {}
    if "accuracy" in figures:
        low, high = figures["accuracy_interval"]
        row["n"] = f"{figures['n']:,}"
        row["accuracy (95 % interval)"] = f"{figures['accuracy']:.2%} ({low:.2%} to {high:.2%})"
        row["macro F1"] = f"{figures['macro_f1']:.2%}"
        row["ECE"] = f"{figures['ece']:.2%}"
        row["answered"] = f"{figures['coverage']:.2%}"
        row["of these right"] = percent(figures["selective_accuracy"])
    if figures.get("n_others"):
        row["no digit"] = f"{figures['n_others']:,}"
        row["answered all the same"] = f"{figures['others_answered']:.2%}"
    if figures.get("unreadable"):
        row["unreadable"] = f"{figures['unreadable']:,}"
    return row


def percent(value: float | None) -> str:
    """A share in [0, 1] as people write it, and nothing where there is none."""
    return "" if value is None else f"{value:.2%}"


def figures_table(measured: dict[str, dict], to_row: Callable[[dict], dict[str, str]] = figures_row) -> str:
    """Name of the pictures -> their figures, as a Markdown table."""
    rows = {name: to_row(figures) for name, figures in measured.items()}
    titles = list(dict.fromkeys(title for row in rows.values() for title in row))
    lines = [f"| pictures | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|"]
    lines += [f"| {name} | {' | '.join(row.get(title, '') for title in titles)} |" for name, row in rows.items()]
    return "\n".join(lines)
