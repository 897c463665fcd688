"""The model card, written from the measured results of a run."""

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from .evaluation import figures_table

SPLITS = ("validation", "test")
HUB_DATASETS = {"mnist": "ylecun/mnist"}


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
        tags=["handwriting", "digits", "mnist", "custom_code"],
        datasets=[HUB_DATASETS[source] for source in results["train"] if source in HUB_DATASETS],
        metrics=["accuracy", "f1"],
        model_name=(model_id or "digit").split("/")[-1],
        eval_results=list(_eval_results(results)),
    )
    return ModelCard(f"---\n{data.to_yaml()}\n---\n\n{_text(results, model_id)}")


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


def _text(results: dict, model_id: str | None) -> str:
    name = model_id or "FOLDER"
    since = f" since {results['resumed_from']}" if results["resumed_from"] else ""
    labels, calibration = results["labels"], results["calibration"]
    recalls = [
        f"| {split} | {source} | " + " | ".join(_share(figures["recall"].get(label)) for label in labels) + " |"
        for split in SPLITS
        for source, figures in results[split].items()
    ]
    sources = ", ".join(f"{n:,} of {source}" for source, n in results["train"].items())
    recall_head = f"| split | pictures | {' | '.join(labels)} |\n|{'---|' * (len(labels) + 2)}"
    return f"""# Handwritten digits

A convolutional network of {results["parameters"]:,} parameters that reads one handwritten character from a picture:
page -> ink -> frame -> label. Labels: {", ".join(labels)}.

## Use

```python
from transformers import pipeline

classifier = pipeline("image-classification", model="{name}", trust_remote_code=True)
classifier("picture.png")
```

A top score below {calibration["rejection_threshold"]:.2f} (`config.rejection_threshold`) should not be believed: the
picture shows no character, or one that could be several. A page without ink gives every label the same score.

## Results

{results_table(results)}

The validation pictures were held out of the training data, by writer where the writers are known; "pages" are
synthetic photos of the held-out digits. "answered" are those whose score reaches the threshold, which was chosen on
{calibration["n"]:,} letters, symbols and scribbles: one in a hundred of them reaches it. The temperature of the scores,
{calibration["temperature"]:.3f}, was fitted on the validation pictures. The test split was read once, at the end.

Recall of each label:

{recall_head}
{chr(10).join(recalls)}

## Training

`{results["command"]}`

Seed {results["seed"]}, {results["epochs"]:g} epochs ({results["steps"]:,} steps) over {sources};
{results["train_minutes"]:.1f} minutes{since} on {results["device"]}, {results["processes"]} process(es); mean training
loss {results["train_loss"]:.4f}; {", ".join(f"{k} {v}" for k, v in results["versions"].items())}.

MNIST: Y. LeCun, C. Cortes and C. Burges, http://yann.lecun.com/exdb/mnist/.

## Limits

It is meant for one character in a picture: drawn, scanned or photographed, on plain, ruled or squared paper. Of several
characters it reads the largest, or none. It has seen no other writers than those of its training data; handwriting of
other countries may be read worse. A letter that looks like a digit, such as O, l or S, is read as one.
"""


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"
