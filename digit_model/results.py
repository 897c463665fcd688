"""What is measured at the end of a run, and how the run came to its weights."""

import json
import platform
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import datasets
import torch
import transformers
from huggingface_hub import get_token
from transformers import EvalPrediction, Trainer
from transformers.trainer_utils import PredictionOutput, TrainOutput

from .checkpoint import file_of
from .errors import CheckpointError
from .evaluation import DigitMetrics, measure

LOGGED = ("loss", "accuracy", "macro_f1", "ece")
"""The figures of each source that are logged while a model is trained."""


def to_scores(prediction: EvalPrediction | PredictionOutput) -> torch.Tensor:
    """
    Logits (N, num_labels) -> scores, each row of which sums to 1.

    Raises:
        CheckpointError: If they are no numbers any more, as after steps that were too large.
    """
    scores = torch.from_numpy(prediction.predictions).softmax(-1)
    if not scores.isfinite().all():
        raise CheckpointError("The scores are no numbers any more: begin anew with a lower --learning_rate.")
    return scores


def log_metrics(metrics: DigitMetrics, prediction: EvalPrediction) -> dict[str, float]:
    """The figures for the log, without those of each label: they are in the results at the end."""
    figures = metrics.compute(predictions=to_scores(prediction), references=prediction.label_ids)
    return {name: figure for name, figure in figures.items() if name != "recall"}


def scores_of(trainer: Trainer, splits: dict[str, torch.utils.data.Dataset]) -> dict[str, torch.Tensor]:
    """The scores (N, num_labels) of the pictures of each source."""
    return {source: to_scores(trainer.predict(pictures)) for source, pictures in splits.items()}


def measure_all(
    scores: dict[str, torch.Tensor],
    splits: dict[str, torch.utils.data.Dataset],
    metrics: DigitMetrics,
    threshold: float,
    label_errors: dict[str, Sequence[int]] | None = None,
) -> dict[str, dict]:
    """The final figures on each source, and once more on those whose labels are known to be wrong here and there."""
    measured = {source: measure(metrics, scores[source], splits[source].labels, threshold) for source in splits}
    for source, errors in (label_errors or {}).items():
        is_right = torch.ones(len(scores[source]), dtype=torch.bool)
        is_right[list(errors)] = False
        name = f"{source} without its {len(errors)} known label errors"
        measured[name] = measure(metrics, scores[source][is_right], splits[source].labels[is_right], threshold)
    return measured


def earlier_results(name: str | None) -> dict:
    """What was measured of a checkpoint, in a folder or on the Hub, its training pictures and its runs."""
    results = name and file_of(name, "results.json")
    return {"runs": [], "train": {}, "licenses": {}} | (json.loads(Path(results).read_text()) if results else {})


def _name_of(device: torch.device) -> str:
    if device.type == "cpu":
        return f"{torch.get_num_threads()} CPU threads"
    return torch.cuda.get_device_name() if device.type == "cuda" else device.type


def _command() -> str:
    """How the run was started, as a card may show it."""
    command, secret = shlex.join(["python", "train.py", *sys.argv[1:]]), get_token()
    return command.replace(secret, "TOKEN") if secret else command


def describe_run(trainer: Trainer, run: TrainOutput, checkpoint: str | None, found: dict[str, float]) -> dict:
    """How the weights came to be, for the results and the card."""
    args = trainer.args
    return {
        "command": _command(),
        "seed": args.seed,
        "epochs": trainer.state.epoch,
        "steps": trainer.state.global_step,
        "train_loss": run.training_loss,
        "train_minutes": run.metrics["train_runtime"] / 60,
        "resumed_from": checkpoint and Path(checkpoint).name,
        "found": found,
        "processes": args.world_size,
        "device": _name_of(args.device),
        "versions": {"python": platform.python_version()}
        | {module.__name__: module.__version__ for module in (torch, transformers, datasets)},
    }
