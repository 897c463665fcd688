"""How good a model is on labelled pictures, and a page that shows it and where it fails, with the table behind it."""

import sys
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
import torch
from datasets import Dataset
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from PIL import Image
from transformers import Pipeline

from .evaluation import DigitMetrics, calibration_bins, figures_row, predict, score_columns, summarize
from .failures import draw_confusion
from .figure import draw_reading
from .image_processing_digit import open_image, upright
from .labelled_pictures import LabelledPicture, labelled_picture
from .number_evaluation import measure_numbers, number_row, read_numbers
from .pipeline_digit import to_image

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
<p>Model: {{ model }}. {{ remark }}
Every picture is in <a href="{{ csv }}">{{ csv }}</a>.</p>
<div class="plots">{% for plot in plots %}<img src="{{ plot }}" alt="{{ plot }}">{% endfor %}</div>
<h2>Mistakes</h2>
<p>{{ shown }} of {{ wrong }}, those the model was most sure of first.</p>
{% if mistakes %}<div class="scroll"><table>
<tr><th>file</th><th>label</th>{% for step in steps %}<th>{{ step }}</th>{% endfor %}<th>answers</th></tr>
{% for row in mistakes %}<tr>
  <td>{{ row.file }}</td><td>{{ row.label }}</td>
  {% for step in steps %}<td><img src="{{ row.images[step] }}" alt="" loading="lazy"></td>{% endfor %}
  <td>{% for label, score in row.answers %}{{ label }}: {{ "%.1f" | format(score * 100) }} %<br>{% endfor %}</td>
</tr>{% endfor %}
</table></div>{% endif %}
{% if unreadable %}<h2>Pictures that could not be read</h2>
<ul>{% for sentence in unreadable %}<li>{{ sentence }}</li>{% endfor %}</ul>{% endif %}
</html>
""")


def evaluate_digits(name: str, rows: Dataset, classifier: Pipeline, batch_size: int, folder: Path | None) -> dict:
    """
    Measures a model on pictures of one digit.

    Args:
        name: Of the pictures.
        rows: As `load_labelled` gives them.
        classifier: A `pipeline("image-classification")`.
        batch_size: Pictures a step.
        folder: Gets the report, if any.

    Returns:
        What `summarize` gives.
    """
    labels = list(classifier.model.config.id2label.values())
    table = predict(classifier, rows, batch_size)
    figures = summarize(table, DigitMetrics(labels), classifier.model.config.rejection_threshold)
    for sentence in table.loc[table["error"] != "", "error"]:
        print(sentence, file=sys.stderr)
    if figures["n_others"]:
        strangers = sorted(table.loc[~table["is_known"], "label"].unique())
        print(f"{name}: pictures labelled {', '.join(strangers)} count as showing none of the model's labels.")
    if folder:
        write_report(folder, name, table, figures_row(figures), rows, classifier)
    return figures


def evaluate_numbers(name: str, rows: Dataset, reader: Pipeline, batch_size: int, folder: Path | None) -> dict:
    """
    Measures a model on pictures of whole numbers.

    Args:
        name: Of the pictures.
        rows: As `load_labelled` gives them.
        reader: A `pipeline("number-reading")`.
        batch_size: Pictures a step.
        folder: Gets the report, if any.

    Returns:
        What `measure_numbers` gives.
    """
    table = read_numbers(reader, rows, batch_size)
    figures = measure_numbers(table)
    for sentence in table.loc[table["error"] != "", "error"]:
        print(sentence, file=sys.stderr)
    if folder:
        write_number_report(folder, name, table, number_row(figures), rows, reader)
    return figures


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
    labels = list(config.id2label.values())
    known = table[(table["error"] == "") & table["is_known"]].assign(is_right=lambda t: t["answer"] == t["label"])
    _write_page(
        folder,
        title,
        table,
        figures,
        rows,
        mistakes=table[is_mistake],
        describe=partial(_way_of_a_picture, classifier=classifier),
        answers=lambda row: row[score_columns(labels)].astype(float).set_axis(labels).nlargest(3).items(),
        plots=_plots(known, config.rejection_threshold, images, labels) if len(known) else [],
        model=config.name_or_path,
        remark=f"An answer is believed from a score of {config.rejection_threshold:.3f} on.",
    )


def write_number_report(
    folder: Path, title: str, table: pd.DataFrame, figures: dict[str, str], rows: Dataset, reader: Pipeline
) -> None:
    """
    Writes `index.html`, its pictures and `predictions.csv` for whole numbers.

    Args:
        folder: Is made where it does not exist.
        title: What was measured.
        table: What `number_evaluation.read_numbers` gives.
        figures: Name -> figure, as they are to be shown.
        rows: The pictures that were read, in the same order, as `load_labelled` gives them.
        reader: The pipeline that read them.
    """
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    table.drop(columns="reading").to_csv(folder / "predictions.csv", index=False, float_format="%.6f")
    known = table[table["error"] == ""].assign(is_right=lambda t: t["best"] == t["label"])
    _write_page(
        folder,
        title,
        table,
        figures,
        rows,
        mistakes=known[~known["is_right"]],
        describe=_drawn,
        answers=lambda row: [(row["best"] or "nothing", row["score"])],
        plots=_plots(known, None, images) if len(known) else [],
        model=reader.model.config.name_or_path,
        remark="A sign is shown as ? where the model will not stand behind it.",
    )


def _write_page(
    folder: Path,
    title: str,
    table: pd.DataFrame,
    figures: dict[str, str],
    rows: Dataset,
    mistakes: pd.DataFrame,
    describe: Callable[[LabelledPicture, pd.Series], dict[str, Image.Image]],
    answers: Callable[[pd.Series], Iterable[tuple[str, float]]],
    **values,
) -> None:
    shown = []
    for index, row in mistakes.sort_values("score", ascending=False)[:MAX_MISTAKES].iterrows():
        paths = {}
        for step, image in describe(labelled_picture(rows, index), row).items():
            paths[step] = f"images/{index}_{step}.png"
            image.save(folder / paths[step])
        shown.append({"file": row["file"], "label": row["label"], "images": paths, "answers": answers(row)})
    page = _PAGE.render(
        title=title,
        figures=figures,
        csv="predictions.csv",
        mistakes=shown,
        steps=shown[0]["images"] if shown else [],
        shown=len(shown),
        wrong=len(mistakes),
        unreadable=table.loc[table["error"] != "", "error"].tolist(),
        **values,
    )
    (folder / "index.html").write_text(page, encoding="utf-8")


def _drawn(picture: LabelledPicture, row: pd.Series) -> dict[str, Image.Image]:
    return {"picture": draw_reading(open_image(picture.source), row["reading"], longest=512)}


def _way_of_a_picture(picture: LabelledPicture, row: pd.Series, classifier: Pipeline) -> dict[str, Image.Image]:
    """The picture, its page, the ink on it and the frame."""
    image = upright(open_image(picture.source, classifier.image_processor.draft_side)).convert("RGBA")
    image.thumbnail((2 * _THUMBNAIL, 2 * _THUMBNAIL))
    page = classifier.preprocess(picture.source)["pages"][0].to(classifier.device)[None]
    with torch.inference_mode():
        steps = {"page": page, "ink": classifier.model.to_ink(page), "frame": classifier.model(page).frames}
    return {"picture": image} | {name: to_image(step[0, 0]) for name, step in steps.items()}


def _plots(known: pd.DataFrame, threshold: float | None, folder: Path, labels: list[str] | None = None) -> list[str]:
    """Draws what the scores and answers are worth, and gives the files' paths from the report."""
    figures = {"reliability": _reliability(known), "coverage": _coverage(known, threshold)}
    if labels:
        answers, references = (known[column].map(labels.index).to_numpy() for column in ("answer", "label"))
        figures = {"confusion_matrix": draw_confusion(answers, references, labels)} | figures
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=120)
    return [f"images/{name}.png" for name in figures]


def _reliability(known: pd.DataFrame) -> Figure:
    bins = calibration_bins(known["score"].to_numpy(dtype=float), known["is_right"].to_numpy())
    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], "k:", label="as sure as right")
    axes.plot(bins["confidence"], bins["accuracy"], "o-", label="measured")
    for confidence, accuracy, count in bins[["confidence", "accuracy", "count"]].to_numpy():
        axes.annotate(f"{count:.0f}", (confidence, accuracy), xytext=(4, -10), textcoords="offset points", fontsize=8)
    axes.set(title="Reliability (number of pictures)", xlabel="score", ylabel="share that is right")
    axes.legend()
    return figure


def _coverage(known: pd.DataFrame, threshold: float | None) -> Figure:
    known = known.sort_values("score", ascending=False)
    answered = np.arange(1, len(known) + 1)
    errors = (~known["is_right"]).cumsum() / answered
    figure = Figure(figsize=(6, 6), layout="constrained")
    axes = figure.subplots()
    axes.plot(answered / len(known), errors)
    if threshold is not None:
        coverage = (known["score"] >= threshold).mean()
        axes.axvline(coverage, color="k", linestyle=":", label=f"threshold {threshold:.2f}: {coverage:.1%} answered")
        axes.legend()
    axes.set(title="What rejecting buys", xlabel="share of the pictures that is answered", ylabel="of these wrong")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    return figure
