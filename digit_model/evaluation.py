"""How good the answers are, and how far their scores can be believed."""

import datasets
import evaluate
import numpy as np
from sklearn.metrics import f1_score, recall_score


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


def expected_calibration_error(scores: np.ndarray, references: np.ndarray, bins: int = 15) -> float:
    """
    How far the top score is from the share of right answers, on average over the pictures (Guo et al., 2017, "On
    Calibration of Modern Neural Networks").

    Args:
        scores: (N, num_labels), each row sums to 1.
        references: (N,), the true labels.
        bins: Equally wide bins of the top score.

    Returns:
        In [0, 1]; 0 is perfect.
    """
    confidence, is_right = scores.max(1), scores.argmax(1) == references
    bin_of = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(bin_of, weights=confidence - is_right, minlength=bins)
    return float(np.abs(gaps).sum() / len(references))


def accuracy_interval(accuracy: float, n: int) -> tuple[float, float]:
    """The 95 % Wilson score interval of an accuracy measured on n pictures (Wilson, 1927)."""
    z = 1.959964
    centre = (accuracy + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(accuracy * (1 - accuracy) / n + z * z / (4 * n * n))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))
