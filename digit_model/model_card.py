"""The model card, written from the measured results of a run."""

from statistics import mean, stdev

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from .evaluation import figures_table, percent
from .failures import CONFUSION_FILE, MISTAKES_FILE
from .number_evaluation import number_row

SPLITS = ("validation", "test")
HUB_DATASETS = {"mnist": "ylecun/mnist"}
DIGITS = set("0123456789")
NO_LICENSE = "licence not stated"
CREDITS = {
    "mnist": "Y. LeCun, C. Cortes and C. Burges, http://yann.lecun.com/exdb/mnist/",
    "pendigits": "E. Alpaydin and F. Alimoglu, https://doi.org/10.24432/C5MG6K",
}
"""Who made the sources that are neither the user's nor the program's."""


def model_card(results: dict, model_id: str | None = None) -> ModelCard:
    """
    Args:
        results: What `train.py` writes to results.json.
        model_id: The model's id on the Hub, for the examples; a folder otherwise.
    """
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag="image-classification",
        license="mit",
        tags=["handwriting", *_subjects(results), "custom_code"],
        datasets=list(filter(None, map(_hub_id, results["train"]))),
        metrics=["accuracy", "f1"],
        model_name=(model_id or "digit").split("/")[-1],
        eval_results=list(_eval_results(results)),
    )
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{_text(results, model_id)}")


def _subjects(results: dict) -> list[str]:
    return ["digits"] * (set(results["labels"]) <= DIGITS) + ["mnist"] * ("mnist" in results["train"])


def _hub_id(source: str) -> str | None:
    """Of a source that is a dataset on the Hub; those on a disk have no owner."""
    return HUB_DATASETS.get(source) or (source.partition(":")[0] if "/" in source else None)


def _eval_results(results: dict):
    for split in SPLITS:
        for source, figures in results[split].items():
            for metric in ("accuracy", "macro_f1", "ece"):
                yield EvalResult(
                    task_type="image-classification",
                    dataset_type=HUB_DATASETS.get(source, source),
                    dataset_name=source,
                    dataset_split=split,
                    metric_type="f1" if metric == "macro_f1" else metric,
                    metric_name=metric,
                    metric_value=figures[metric],
                )


def results_table(results: dict) -> str:
    """The figures of a run, and those that `evaluate --update_card` has added, as a Markdown table."""
    splits = {f"{source}, {split}": figures for split in SPLITS for source, figures in results[split].items()}
    return figures_table(splits | results.get("evaluation", {}))


def numbers_table(results: dict) -> str:
    """The figures that `evaluate --task number-reading --update_card` has added, as a Markdown table."""
    return figures_table(results["numbers"], number_row)


def seeds_table(runs: list[dict], average: dict) -> str:
    """The accuracy of runs that differ in their seed alone, and of the mean of their weights, as a Markdown table."""
    lines = [f"| pictures | n | mean of {len(runs)} seeds | standard deviation | averaged weights |", "|---" * 5 + "|"]
    for split in SPLITS:
        for source, figures in average[split].items():
            accuracies = [run[split][source]["accuracy"] for run in runs]
            spread = f"{stdev(accuracies):.3%}" if len(runs) > 1 else ""
            cells = [f"{source}, {split}", f"{figures['n']:,}", f"{mean(accuracies):.3%}", spread]
            lines.append(f"| {' | '.join(cells)} | {figures['accuracy']:.3%} |")
    return "\n".join(lines)


def tables_of(results: dict) -> str:
    """All figures of a checkpoint, as Markdown tables."""
    return results_table(results) + ("\n\n" + numbers_table(results) if "numbers" in results else "")


def _text(results: dict, model_id: str | None) -> str:
    name = model_id or "FOLDER"
    labels, calibration = results["labels"], results["calibration"]
    recalls = [
        f"| {split} | {source} | " + " | ".join(percent(figures["recall"].get(label)) for label in labels) + " |"
        for split in SPLITS
        for source, figures in results[split].items()
    ]
    licenses = results.get("licenses", {})
    sources = "\n".join(
        f"- {n:,} of {source} ({', '.join(filter(None, [CREDITS.get(source), licenses.get(source) or NO_LICENSE]))})"
        for source, n in results["train"].items()
        if n
    )
    shown = ("7", "90210") if set(labels) >= DIGITS else (labels[0], "".join(labels[:5]))
    recall_head = f"| split | pictures | {' | '.join(labels)} |\n|{'---|' * (len(labels) + 2)}"
    return f"""# {"Handwritten digits" if set(labels) <= DIGITS else "Handwriting"}

Convolutional networks of {results["parameters"]:,} parameters that read handwritten numbers, or one character, from a
picture: page -> ink -> characters -> frame -> label. Labels: {", ".join(labels)}.

## Use

```python
from transformers import pipeline

classifier = pipeline("image-classification", model="{name}", trust_remote_code=True)
classifier("one_digit.png")  # [{{"label": "{shown[0]}", "score": 0.99}}, ...]

reader = pipeline("number-reading", model="{name}", trust_remote_code=True)
reader("number.png")  # {{"text": "{shown[1]}", "score": 0.98, "digits": [...]}}: each with label, score, box and top
```

A top score below {calibration["rejection_threshold"]:.2f} (`config.rejection_threshold`) should not be believed: the
picture shows no character, or one that could be several. A page without ink gives every label the same score.

## Results

{results_table(results)}

{_numbers(results)}\
The validation pictures were held out of the training data, by writer where the writers are known and none of them wrote
nearly all; "pages" are synthetic photos of the held-out digits. "answered" are those whose score reaches the threshold.
It was set on {calibration["n"]:,} pictures that show none of the labels: letters, symbols and scribbles that are
drawn and, with --not_digits, pictures of the user's. At most one in a hundred of either reaches it. The temperature of
the scores, {calibration["temperature"]:.3f}, was fitted on the validation pictures. Every run reads the test split
once, at its end.

Recall of each label:

{recall_head}
{chr(10).join(recalls)}

{_failures(results)}\
## Training

Training pictures:

{sources}

{chr(10).join(map(_run, results["runs"]))}

## Limits

It is meant for numbers by hand: drawn, scanned or photographed, on plain, ruled or squared paper. Signs between digits
leave no character. Handwriting unlike that of its training pictures may be read worse. What looks like a digit is read
as one, such as the letters O, l and S, the upright strokes of an N or a T, a plus sign, the slash of a /- behind an
amount, a circle around a digit, a full stop under a dash at the end of an amount and, where they are as dark as the
pen, the sides of a form's boxes. Of words and signatures beside a number something may be left, mostly a `?`. A 1 with
an upstroke as long as its stem may be read as two, and one that is as long, upright and straight as a ruled line may be
taken for one, and left out.
"""


def _failures(results: dict) -> str:
    if not results["test"]:
        return ""
    return f"""What is read wrongly of the test pictures:

![Confusion matrix]({CONFUSION_FILE})

![Mistakes]({MISTAKES_FILE})

"""


def _numbers(results: dict) -> str:
    calibration, table = results["calibration"].get("numbers"), ""
    if "numbers" in results:
        table = numbers_table(results) + "\n\n"
    if not calibration:
        return table
    return f"""{table}A sign of a number is shown as `?` where its share of the score is below \
{calibration["number_threshold"]:.2f} (`config.number_threshold`). Of {calibration["n"]:,} synthetic numbers of the \
held-out digits, on which that score was fitted, {percent(calibration["coverage"])} are shown without a `?`, and \
{percent(calibration["selective_accuracy"])} of these are right.

"""


def _run(run: dict) -> str:
    since = f" since {run['resumed_from']}" if run["resumed_from"] else ""
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    found = "".join(f"; {name} {value:.3g}, found by a search" for name, value in run.get("found", {}).items())
    return f"""`{run["command"]}`

Seed {run["seed"]}, {run["epochs"]:g} epochs ({run["steps"]:,} steps), {run["train_minutes"]:.1f} minutes{since} on
{run["device"]}, {run["processes"]} process(es); mean training loss {run["train_loss"]:.4f}{found}; {versions}.
"""
