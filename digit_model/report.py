"""A page that shows how good a model is and where it fails, with the table behind it."""

from pathlib import Path

import jinja2
import matplotlib
import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from matplotlib.figure import Figure
from PIL import Image, ImageOps
from sklearn.metrics import ConfusionMatrixDisplay
from transformers import Pipeline

from .evaluation import calibration_bins
from .image_processing_digit import open_image
from .labelled_pictures import LabelledPicture, labelled_picture

MAX_MISTAKES = 200
_THUMBNAIL = 128

_PAGE = jinja2.Environment(autoescape=True).from_string("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{{ title }}</title>
<style>
  :root { color-scheme: light dark; }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
  .scroll { overflow-x: auto; }
  table { border-collapse: collapse; }
  td, th { padding: .25rem .75rem; border-bottom: 1px solid #8886; text-align: left; }
  td img { width: 8rem; height: 8rem; object-fit: contain; image-rendering: pixelated; background: #8882; }
  .plots { display: flex; flex-wrap: wrap; gap: 1rem; }
  .plots img { width: 22rem; max-width: 100%; background: white; border-radius: .25rem; }
</style>
<h1>{{ title }}</h1>
<div class="scroll"><table>
<tr>{% for name in figures %}<th>{{ name }}</th>{% endfor %}</tr>
<tr>{% for figure in figures.values() %}<td>{{ figure }}</td>{% endfor %}</tr>
</table></div>
<p>Model: {{ model }}. An answer is believed from a score of {{ "%.3f" | format(threshold) }} on.
Every picture is in <a href="{{ csv }}">{{ csv }}</a>.</p>
<div class="plots">{% for plot in plots %}<img src="{{ plot }}" alt="{{ plot }}">{% endfor %}</div>
<h2>Mistakes</h2>
<p>{{ shown }} of {{ wrong }}, those the model was most sure of first.</p>
{% if mistakes %}<div class="scroll"><table>
<tr><th>file</th><th>label</th><th>picture</th><th>page</th><th>ink</th><th>frame</th><th>answers</th></tr>
{% for row in mistakes %}<tr>
  <td>{{ row.file }}</td><td>{{ row.label }}</td>
  {% for image in row.images %}<td><img src="{{ image }}" alt="" loading="lazy"></td>{% endfor %}
  <td>{% for label, score in row.answers %}{{ label }}: {{ "%.1f" | format(score * 100) }} %<br>{% endfor %}</td>
</tr>{% endfor %}
</table></div>{% endif %}
{% if unreadable %}<h2>Pictures that could not be read</h2>
<ul>{% for sentence in unreadable %}<li>{{ sentence }}</li>{% endfor %}</ul>{% endif %}
</html>
""")


def write_report(
    folder: Path, title: str, table: pd.DataFrame, figures: dict[str, str], rows: Dataset, classifier: Pipeline
) -> None:
    """
    Writes `index.html`, its pictures and `predictions.csv`.

    Args:
        folder: Is made where it does not exist.
        title: What was measured.
        table: What `evaluation.predict` gives.
        figures: Name -> figure, as they are to be shown.
        rows: The pictures that were read, in the same order, as `load_labelled` gives them.
        classifier: The pipeline that read them.
    """
    config, images = classifier.model.config, folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "predictions.csv", index=False, float_format="%.6f")
    is_mistake = (table["error"] == "") & np.where(
        table["is_known"], table["answer"] != table["label"], table["score"] >= config.rejection_threshold
    )
    mistakes = table[is_mistake].sort_values("score", ascending=False)
    labels = list(config.id2label.values())
    mistakes_shown = [
        {
            "file": row["file"],
            "label": row["label"],
            "images": _way_of_a_picture(labelled_picture(rows, index), classifier, images, index),
            "answers": row[labels].astype(float).nlargest(3).items(),
        }
        for index, row in mistakes[:MAX_MISTAKES].iterrows()
    ]
    known = table[(table["error"] == "") & table["is_known"]]
    page = _PAGE.render(
        title=title,
        figures=figures,
        model=config.name_or_path,
        threshold=config.rejection_threshold,
        csv="predictions.csv",
        plots=_plots(known, labels, config.rejection_threshold, folder) if len(known) else [],
        mistakes=mistakes_shown,
        shown=len(mistakes_shown),
        wrong=len(mistakes),
        unreadable=table.loc[table["error"] != "", "error"].tolist(),
    )
    (folder / "index.html").write_text(page, encoding="utf-8")


def _way_of_a_picture(picture: LabelledPicture, classifier: Pipeline, folder: Path, number: int) -> list[str]:
    """Saves the picture, its page, the ink on it and the frame, and gives their paths from the report."""
    image = ImageOps.exif_transpose(open_image(picture.source)).convert("RGBA")
    image.thumbnail((2 * _THUMBNAIL, 2 * _THUMBNAIL))
    page = classifier.preprocess(picture.source)["pages"][0]
    with torch.inference_mode():
        is_frame = page.shape[-1] == classifier.model.config.frame_size
        ink = page if is_frame else classifier.model.ink(page[None])[0, :1].sigmoid()
        frame = classifier.model.to_frames(page[None])[0]
    steps = {"picture": image} | {
        name: _to_image(step) for name, step in (("page", page), ("ink", ink), ("frame", frame))
    }
    paths = []
    for name, step in steps.items():
        paths.append(f"images/{number}_{name}.png")
        step.save(folder.parent / paths[-1])
    return paths


def _to_image(step: torch.Tensor) -> Image.Image:
    """(1, S, S) in [0, 1]"""
    return Image.fromarray((step[0] * 255).byte().numpy())


def _plots(known: pd.DataFrame, labels: list[str], threshold: float, folder: Path) -> list[str]:
    plots = {"confusion matrix": _confusion, "reliability": _reliability, "coverage": _coverage}
    paths = []
    for name, plot in plots.items():
        figure = Figure(figsize=(6, 6), layout="constrained")
        plot(figure.subplots(), known, labels, threshold)
        paths.append(f"images/{name.replace(' ', '_')}.png")
        with matplotlib.rc_context({"savefig.dpi": 120}):
            figure.savefig(folder / paths[-1])
    return paths


def _confusion(axes, known: pd.DataFrame, labels: list[str], threshold: float) -> None:
    ConfusionMatrixDisplay.from_predictions(
        known["label"], known["answer"], labels=labels, ax=axes, cmap="Blues", colorbar=False
    )
    axes.set(title="Confusion matrix", xlabel="answer", ylabel="label")


def _reliability(axes, known: pd.DataFrame, labels: list[str], threshold: float) -> None:
    bins = calibration_bins(known["score"].to_numpy(), (known["answer"] == known["label"]).to_numpy())
    axes.plot([0, 1], [0, 1], "k:", label="as sure as right")
    axes.plot(bins["confidence"], bins["accuracy"], "o-", label="measured")
    for confidence, accuracy, count in bins[["confidence", "accuracy", "count"]].to_numpy():
        axes.annotate(f"{count:.0f}", (confidence, accuracy), xytext=(4, -10), textcoords="offset points", fontsize=8)
    axes.set(title="Reliability (number of pictures)", xlabel="score", ylabel="share that is right")
    axes.legend()


def _coverage(axes, known: pd.DataFrame, labels: list[str], threshold: float) -> None:
    known = known.sort_values("score", ascending=False)
    answered = np.arange(1, len(known) + 1)
    errors = (known["answer"] != known["label"]).cumsum() / answered
    axes.plot(answered / len(known), errors)
    coverage = (known["score"] >= threshold).mean()
    axes.axvline(coverage, color="k", linestyle=":", label=f"threshold {threshold:.2f}: {coverage:.1%} answered")
    axes.set(title="What rejecting buys", xlabel="share of the pictures that is answered", ylabel="of these wrong")
    axes.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1))
    axes.legend()
