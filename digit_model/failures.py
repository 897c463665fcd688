"""Where a model fails, as two pictures beside its card."""

from contextlib import AbstractContextManager
from functools import cache
from itertools import islice
from pathlib import Path

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.font_manager import FontEntry, fontManager
from matplotlib.ft2font import FT2Font
from sklearn.metrics import ConfusionMatrixDisplay
from torch.utils.data import Dataset

from .modeling_digit import DigitForImageClassification

CONFUSION_FILE, MISTAKES_FILE = "confusion_matrix.png", "mistakes.png"
MAX_MISTAKES = 60
_COLUMNS = 10
_CELL, _SMALLEST, _LARGEST = 0.5, 6, 40  # inches, of a confusion matrix
_LONG = 3  # letters of a label, above which it stands upright


def draw_confusion(answers: np.ndarray, references: np.ndarray, labels: list[str]) -> Figure:
    """
    Args:
        answers: (N,), indices of labels.
        references: (N,), the true ones.
        labels: The name of each index.

    Returns:
        A row a true label, a column an answer; the mistakes stand out, as the many right answers are left uncoloured.
        It grows with the number of labels.
    """
    side, is_long = min(max(_SMALLEST, _CELL * len(labels)), _LARGEST), max(map(len, labels)) > _LONG
    figure = Figure(figsize=(side, side), layout="constrained")
    with _fonts_for(labels):
        display = ConfusionMatrixDisplay.from_predictions(
            references,
            answers,
            labels=range(len(labels)),
            display_labels=labels,
            ax=figure.subplots(),
            cmap="Oranges",
            colorbar=False,
            xticks_rotation="vertical" if is_long else "horizontal",
        )
    off_diagonal = display.confusion_matrix * ~np.eye(len(labels), dtype=bool)
    display.im_.set_data(off_diagonal)
    display.im_.set_clim(0, 2 * max(1, off_diagonal.max()))  # light enough for black figures
    for text in display.text_.ravel():
        text.set(color="black", visible=text.get_text() != "0")
    display.ax_.set(title=f"Confusion matrix, {len(references):,} pictures", xlabel="answer", ylabel="label")
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
    with _fonts_for(labels):
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


def _fonts_for(labels: list[str]) -> AbstractContextManager:
    """Within it, signs of the labels that matplotlib's usual font lacks are drawn in another one that has them."""
    families, signs = ["DejaVu Sans"], set(map(ord, "".join(labels)))
    missing = signs.difference(*(_signs_of(font) for font in fontManager.ttflist if font.name in families))
    fonts = (font for font in fontManager.ttflist if not font.name.startswith("Last Resort"))  # it has a box for all
    fitting = (font.name for font in fonts if missing and missing <= _signs_of(font))
    return matplotlib.rc_context({"font.family": [*families, *islice(fitting, 1)]})


@cache
def _signs_of(font: FontEntry) -> set[int]:
    return set(FT2Font(font.fname).get_charmap())
