"""Where a model fails, as two pictures beside its card."""

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.metrics import ConfusionMatrixDisplay
from torch.utils.data import Dataset

from .modeling_digit import DigitForImageClassification

CONFUSION_FILE, MISTAKES_FILE = "confusion_matrix.png", "mistakes.png"
MAX_MISTAKES = 60
_COLUMNS = 10


def draw_confusion(answers: np.ndarray, references: np.ndarray, labels: list[str]) -> Figure:
    """
    Args:
        answers: (N,), indices of labels.
        references: (N,), the true ones.
        labels: The name of each index.

    Returns:
        A row a true label, a column an answer; the mistakes stand out, as the many right answers are left uncoloured.
    """
    figure = Figure(figsize=(6, 6), layout="constrained")
    axes, indices = figure.subplots(), range(len(labels))
    display = ConfusionMatrixDisplay.from_predictions(
        references, answers, labels=indices, display_labels=labels, ax=axes, cmap="Oranges", colorbar=False
    )
    off_diagonal = display.confusion_matrix * ~np.eye(len(labels), dtype=bool)
    display.im_.set_data(off_diagonal)
    display.im_.set_clim(0, 2 * max(1, off_diagonal.max()))  # light enough for black figures
    for text in display.text_.ravel():
        text.set_color("black")
    axes.set(title=f"Confusion matrix, {len(references):,} pictures", xlabel="answer", ylabel="label")
    return figure


def draw_mistakes(frames: torch.Tensor, scores: torch.Tensor, references: torch.Tensor, labels: list[str]) -> Figure:
    """
    The wrongly read frames that the model was most sure of first, at most `MAX_MISTAKES`.

    Args:
        frames: (M, 1, S, S) in [0, 1], all of them wrongly read.
        scores: (M, num_labels), each row sums to 1.
        references: (M,), the true labels.
        labels: The name of each index.
    """
    top, answers = scores.max(-1)
    order = top.argsort(descending=True)[:MAX_MISTAKES].tolist()
    rows = max(1, -(-len(order) // _COLUMNS))
    figure = Figure(figsize=(_COLUMNS, 1.35 * rows + 0.5), layout="constrained")
    figure.suptitle(f"{len(order)} of {len(frames)} mistakes: label → answer, score")
    grid = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, index in zip(grid, order):
        axes.imshow(1 - frames[index, 0].numpy(), cmap="gray", vmin=0, vmax=1)
        title = f"{labels[references[index]]} → {labels[answers[index]]}, {top[index]:.0%}"
        axes.set_title(title, fontsize=9)
    return figure


@torch.no_grad()
def draw_failures(
    model: DigitForImageClassification, scores: dict[str, torch.Tensor], splits: dict[str, Dataset], folder: Path
) -> None:
    """Writes the confusion matrix of the pictures and those that are read wrongly, for the card and the app."""
    labels, frames, wrong = list(model.config.id2label.values()), [], []
    for source, pictures in splits.items():
        is_wrong = scores[source].argmax(-1) != pictures.labels
        batch = pictures.__getitems__(is_wrong.nonzero().flatten().tolist())
        frames += [model.to_frames(batch["pixel_values"].to(model.device) / 255).cpu(), batch["frames"] / 255]
        wrong.append(is_wrong)
    all_scores, references = torch.cat([*scores.values()]), torch.cat([part.labels for part in splits.values()])
    wrong = torch.cat(wrong)
    draw_confusion(all_scores.argmax(-1), references, labels).savefig(folder / CONFUSION_FILE)
    draw_mistakes(torch.cat(frames), all_scores[wrong], references[wrong], labels).savefig(folder / MISTAKES_FILE)
