"""
Trains the digit model: arguments -> data -> Trainer -> evaluation -> checkpoint and model card.

    python train.py                                        # the default recipe on MNIST from the Hub
    python train.py --custom_data my_photos/               # and on your own pictures: <label>/<name>.png
    python train.py --model_name_or_path me/digit-cnn --custom_data my_photos/    # from a checkpoint on
    python train.py --resume_from_checkpoint               # continues where a killed run was
    python train.py --seeds 1 2 3 4 5                      # five runs, their mean and their spread
    python train.py --hyperparameter_search 20             # looks for a better learning rate first
    torchrun --nproc_per_node 2 train.py                   # two processes; accelerate launch --multi_gpu as well

Every flag of transformers' TrainingArguments works that fits the model; `python train.py --help` lists them.
"""

import json
import os
import sys
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import datasets
import torch
from huggingface_hub.utils import httpx, validate_repo_id
from safetensors import SafetensorError
from transformers import (
    BaseImageProcessor,
    HfArgumentParser,
    TrainingArguments,
    set_seed,
)
from transformers.integrations import get_available_reporting_integrations, is_optuna_available
from transformers.trainer_utils import BestRun

from data_prep import (
    Augmentation,
    DataArguments,
    DataError,
    Pages,
    Pictures,
    Strings,
    by_source,
    count_table,
    draw_not_digits,
    make_numbers,
    merge,
    on_pages,
    read_not_digits,
    to_pictures,
    written_in_other_hands,
    written_on_a_tablet,
)
from data_prep.errors import first_line
from data_prep.hub import patiently
from data_prep.mnist import CLASS_COUNTS, TEST_LABEL_ERRORS
from digit_model import (
    CheckpointError,
    DigitConfig,
    DigitForImageClassification,
    DigitImageClassificationPipeline,
    DigitImageProcessor,
    NumberReadingPipeline,
    load_checkpoint,
)
from digit_model.calibration import calibrate, calibrate_numbers
from digit_model.evaluation import DigitMetrics
from digit_model.failures import draw_failures
from digit_model.labelled_pictures import with_text_labels
from digit_model.memory import keep_freed_memory
from digit_model.model_card import results_table, seeds_table
from digit_model.report import evaluate_digits
from digit_model.results import LOGGED, describe_run, earlier_results, log_metrics, measure_all, scores_of
from digit_model.trainer import (
    NETWORKS,
    DigitTrainer,
    EarlyStopping,
    show_on_tensorboard,
    use_average,
)


@dataclass
class ModelArguments:
    """Which network to train."""

    model_name_or_path: str | None = field(
        default=None, metadata={"help": "A checkpoint to train further, a folder or an id on the Hub; scratch if none."}
    )
    freeze: list[str] | None = field(
        default=None,
        metadata={
            "help": f"Networks to leave as they are, any of {', '.join(NETWORKS)}, or none. By default ink and "
            "characters of a checkpoint that is trained further."
        },
    )
    new_labels: bool = field(
        default=False,
        metadata={
            "help": "Give the checkpoint a new last layer, for the labels of what it is trained on, such as letters "
            "with --mnist none. Without it, pictures with other labels than its own are skipped."
        },
    )
    average_with_start: bool = field(
        default=False,
        metadata={
            "help": "Keep the mean of the weights before and after: what is trained further forgets less (Wortsman et "
            "al., 2022, 'Robust fine-tuning of zero-shot models')."
        },
    )
    teachers: list[str] = field(
        default_factory=list,
        metadata={
            "help": "Checkpoints, folders or ids, whose mean answer the classifier learns from beside the labels "
            "(Hinton et al., 2015, 'Distilling the Knowledge in a Neural Network')."
        },
    )

    def __post_init__(self):
        if self.average_with_start and not self.model_name_or_path:
            raise ValueError("--average_with_start needs a checkpoint to start from: pass --model_name_or_path.")
        if self.new_labels and not self.model_name_or_path:
            raise ValueError("--new_labels are for a checkpoint: pass --model_name_or_path, or leave both out.")
        if self.new_labels and self.average_with_start:
            raise ValueError("--new_labels begin with nothing that --average_with_start could keep: leave one out.")
        if self.freeze is None:
            self.freeze = ["ink", "characters"] if self.model_name_or_path else []
        self.freeze = [] if self.freeze == ["none"] else self.freeze
        if unknown := set(self.freeze) - set(NETWORKS):
            raise ValueError(f"--freeze takes {', '.join(NETWORKS)} or none, got {', '.join(sorted(unknown))}.")
        if set(self.freeze) == set(NETWORKS):
            raise ValueError("--freeze leaves nothing to train.")
        if self.teachers and "classifier" in self.freeze:
            raise ValueError("--teachers teach the classifier: leave it out of --freeze.")


UNFIT_FLAGS = {
    "do_train": "python -m digit_model evaluate measures without training",
    "do_eval": "every run measures at its end",
    "do_predict": "every run measures at its end",
    "dataloader_drop_last": "every validation picture counts",
    "prediction_loss_only": "the scores are calibrated",
    "batch_eval_metrics": "the scores are calibrated",
    "eval_do_concat_batches": "the scores are calibrated",
    "bf16_full_eval": "the scores are calibrated in float32",
    "fp16_full_eval": "the scores are calibrated in float32",
    "remove_unused_columns": "pictures come as tensors",
    "train_sampling_strategy": "pictures have no length; --class_balanced balances them",
    "gradient_checkpointing": "so small a network needs none",
    "deepspeed": "so small a network fits on one device",
    "fsdp": "so small a network fits on one device",
    "neftune_noise_alpha": "it has no embeddings",
}
"""What a `TrainingArguments` takes and this model only as it is by default, and why."""


@dataclass
class DigitTrainingArguments(TrainingArguments):
    """transformers' TrainingArguments with the default recipe."""

    do_train: bool = field(default=True, metadata={"help": "Must stay on."})
    output_dir: str = field(default="runs/digit", metadata={"help": "Where the checkpoint and the card are written."})
    num_train_epochs: float = field(default=10.0, metadata={"help": "Times that every training picture is seen."})
    per_device_train_batch_size: int = field(default=128, metadata={"help": "Pictures per step and process."})
    per_device_eval_batch_size: int = field(default=500, metadata={"help": "Pictures per step of evaluation."})
    pages_per_step: int = field(default=12, metadata={"help": "Synthetic pages per step and process."})
    strips_share: float = field(
        default=0.0,
        metadata={"help": "Share of the steps with half as many pages, wide ones with numbers, for the ink."},
    )
    strings_per_step: int = field(default=6, metadata={"help": "Synthetic numbers per step and process."})
    learning_rate: float = field(default=7e-3, metadata={"help": "Highest learning rate."})
    weight_decay: float = field(default=0.05, metadata={"help": "Weight decay."})
    label_smoothing_factor: float = field(default=0.05, metadata={"help": "Share of each label spread over all."})
    muon: bool = field(default=True, metadata={"help": "Muon for the kernels; --no_muon takes what --optim names."})
    lr_scheduler_type: str = field(default="cosine", metadata={"help": "How the learning rate falls."})
    warmup_steps: float = field(default=0.05, metadata={"help": "Share of the steps in which the rate rises at first."})
    eval_strategy: str = field(default="steps", metadata={"help": "When to measure on the validation pictures."})
    eval_steps: float = field(default=0.5, metadata={"help": "Steps, or share of all, from one such time to the next."})
    save_strategy: str = field(default="epoch", metadata={"help": "When a checkpoint is saved."})
    hub_strategy: str = field(default="end", metadata={"help": "When to push: at the end, when it has been measured."})
    save_total_limit: int | None = field(default=2, metadata={"help": "How many checkpoints are kept."})
    logging_steps: float = field(default=50, metadata={"help": "Steps between two lines of the log."})
    report_to: str | None = field(default="none", metadata={"help": "'tensorboard' writes curves to output_dir/runs."})
    remove_unused_columns: bool = field(default=False, metadata={"help": "Must stay off."})
    early_stopping: int = field(
        default=0, metadata={"help": "Stop after so many epochs without a better validation loss, and keep the best."}
    )
    hyperparameter_search: int = field(
        default=0, metadata={"help": "Try so many learning rates and weight decays first, and train with the best."}
    )
    class_balanced: bool = field(default=False, metadata={"help": "Show every label equally often."})
    seeds: list[int] = field(
        default_factory=list,
        metadata={"help": "Train once with each of these seeds, tell mean and spread, and average the weights."},
    )
    resume_from_checkpoint: str | None = field(
        default=None,
        metadata={
            "help": "Go on from the last checkpoint in output_dir, or from the one named here.",
            "nargs": "?",
            "const": "last",
        },
    )

    def __post_init__(self):
        self.use_cpu = self.use_cpu or not torch.accelerator.is_available()  # so that --bf16 works there
        if self.seeds and self.push_to_hub:
            raise ValueError("--seeds writes several checkpoints: push the one you choose by another run.")
        if self.seeds and self.hyperparameter_search:
            raise ValueError("--seeds differ in nothing else: search first, and pass them the rates that were found.")
        if self.seeds and self.resume_from_checkpoint not in (None, "last"):
            raise ValueError("--seeds go on from their own checkpoints: pass --resume_from_checkpoint without a name.")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("--seeds names one twice: each is a run of its own.")
        batches = (self.per_device_train_batch_size, self.per_device_eval_batch_size)
        if min(*batches, self.gradient_accumulation_steps, max(self.num_train_epochs, self.max_steps)) <= 0:
            raise ValueError("Batch sizes and the length of a run must be above 0.")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"--learning_rate must be above 0, and a number, got {self.learning_rate}.")
        if not 0 <= self.label_smoothing_factor < 1:
            raise ValueError(f"--label_smoothing_factor must lie in [0, 1), got {self.label_smoothing_factor}.")
        if not all(0 <= seed < 2**32 for seed in (self.seed, *self.seeds)):
            raise ValueError("A seed is a whole number from 0 to 4,294,967,295.")
        if min(self.early_stopping, self.hyperparameter_search) < 0:
            raise ValueError("--early_stopping and --hyperparameter_search take 0, for none, or more.")
        if self.hub_model_id:
            validate_repo_id(self.hub_model_id)
        if min(self.pages_per_step, self.strings_per_step) < 1:
            raise ValueError("--pages_per_step and --strings_per_step take 1 or more; --freeze leaves a network alone.")
        if not 0 <= self.strips_share <= 1:
            raise ValueError("--strips_share is a share of the steps: pass a number from 0 to 1.")
        for name, reason in UNFIT_FLAGS.items():
            if getattr(self, name) != self.__dataclass_fields__[name].default:
                raise ValueError(f"--{name} does not fit this model ({reason}): leave it out.")
        if self.muon:
            for name in ("optim", "optim_args", "adam_beta1", "adam_beta2", "adam_epsilon"):
                if getattr(self, name) != self.__dataclass_fields__[name].default:
                    raise ValueError(f"--{name} does not change Muon: pass --no_muon too.")
        if self.hyperparameter_search and int(os.environ.get("WORLD_SIZE", 1)) > 1:
            raise ValueError("--hyperparameter_search is for one process: search first, and pass what was found.")
        if self.hyperparameter_search and not is_optuna_available():
            raise ValueError("--hyperparameter_search needs Optuna: pip install optuna.")
        if self.early_stopping:
            self.eval_strategy = self.save_strategy = "epoch"
            self.load_best_model_at_end = True
        if self.hub_token:  # these arguments are saved beside the weights, and pushed with them
            os.environ["HF_TOKEN"], self.hub_token = self.hub_token, None
        self.label_names = ["labels"]  # and not the ink's, which evaluation has none of
        super().__post_init__()
        if missing := set(self.report_to) - set(get_available_reporting_integrations()):
            raise ValueError(f"--report_to {' '.join(missing)} needs a package that is not installed.")

    def say(self, text: str) -> None:
        """Once, where several processes train."""
        if self.process_index == 0:
            print(text)


NOT_DIGITS_SHARE = 0.2  # letters, symbols and scribbles for every training picture
HANDS_SHARE = 0.2  # digits in the hands of other countries, for every training picture
TABLET_SHARE = 0.13  # digits that were written on a tablet, for every training picture
VALIDATION_NOT_DIGITS = 500
VALIDATION_PAGES = 2000
VALIDATION_NUMBERS = 1000
MIN_VALIDATION_NUMBERS = 100  # fewer say too little of how sure a number is


class Data(NamedTuple):
    """
    What a run reads.

    Attributes:
        labels: The name of each index.
        splits: Split -> source -> its pictures, as the merged dataset has them; "pages" are synthetic ones.
        practice: What is learned from: the training pictures, and drawn ones of none of the labels.
        other_hands: Frames of labels in the hands of other people, to be practised on pages and in numbers alone.
        digits: All validation pictures that are not synthetic.
        held_out: The same as they came, for the report.
        not_digits: Kinds of pictures that show none of the labels, for the threshold.
        licenses: Source -> the licence of its pictures, None where nobody has said.
        label_errors: Source -> places in its test split of the labels that are known to be wrong.
    """

    labels: list[str]
    splits: dict[str, dict[str, Pictures]]
    practice: Pictures
    other_hands: Pictures
    digits: Pictures
    held_out: datasets.Dataset
    not_digits: list[Pictures]
    licenses: dict[str, str | None]
    label_errors: dict[str, Sequence[int]]


def prepare(
    data_args: DataArguments, dataset: datasets.DatasetDict, processor: BaseImageProcessor, pages: Pages
) -> Data:
    """The merged dataset as tensors, with what is drawn beside it."""
    labels, count = dataset["train"].features["label"].names, len(dataset["train"])
    splits = {split: by_source(rows, processor) for split, rows in dataset.items()}

    not_digits = Pictures.of_frames(*draw_not_digits(round(NOT_DIGITS_SHARE * count), labels), processor)
    practice = sum(splits["train"].values(), start=not_digits)
    written = {
        "other_hands": written_in_other_hands(round(HANDS_SHARE * count), labels),
        "pendigits": written_on_a_tablet(round(TABLET_SHARE * count), labels),
    }
    splits["train"] |= {source: Pictures.of_frames(*frames, processor) for source, frames in written.items()}
    other_hands = sum((splits["train"][source] for source in written), start=Pictures.none(processor))
    licenses = {source: data_args.license_of(source) for source in splits["train"]}
    others = [Pictures.of_frames(*draw_not_digits(VALIDATION_NOT_DIGITS, labels, "validation"), processor)]
    if data_args.not_digits:
        others.append(to_pictures(read_not_digits(data_args.not_digits), processor))
    digits = sum(splits["validation"].values(), start=Pictures.none(processor))
    if len(digits.frames) and len(written := on_pages(digits, pages, VALIDATION_PAGES)):
        splits["validation"]["pages"] = written
    is_whole_mnist = len(splits["test"].get("mnist", ())) == sum(CLASS_COUNTS["test"])
    label_errors = {"mnist": TEST_LABEL_ERRORS} if is_whole_mnist else {}
    held_out = with_text_labels(dataset["validation"])
    return Data(labels, splits, practice, other_hands, digits, held_out, others, licenses, label_errors)


def new_model(labels: list[str]) -> tuple[DigitForImageClassification, DigitImageProcessor]:
    """An untrained model for these labels, and the processor that makes its pages."""
    id2label, label2id = _names(labels)
    config = DigitConfig(id2label=id2label, label2id=label2id)
    size = {"height": config.image_size, "width": config.image_size}
    return DigitForImageClassification(config), DigitImageProcessor(size=size, frame_size=config.frame_size)


def _names(labels: list[str]) -> tuple[dict[int, str], dict[str, int]]:
    return dict(enumerate(labels)), {label: index for index, label in enumerate(labels)}


def with_new_labels(model: DigitForImageClassification, labels: list[str]) -> DigitForImageClassification:
    """A model for other labels, with all weights of this one but those of the classifier's last layer."""
    config = deepcopy(model.config)
    config.id2label, config.label2id = _names(labels)
    fresh = DigitForImageClassification(config)
    kept = {name: weight for name, weight in model.state_dict().items() if not name.startswith("classifier.head.")}
    fresh.load_state_dict(kept, strict=False)
    return fresh


def load_teachers(names: list[str], labels: list[str]) -> list[DigitForImageClassification]:
    """
    Raises:
        CheckpointError: If one of them cannot be loaded, or has other labels.
    """
    teachers = {name: load_checkpoint(name)[0] for name in names}
    for name, teacher in teachers.items():
        if list(teacher.config.id2label.values()) != labels:
            raise CheckpointError(
                f"{name} has other labels than the model that it is to teach: choose another teacher."
            )
    return list(teachers.values())


def find_checkpoint(args: DigitTrainingArguments) -> str | None:
    """The checkpoint to go on from, passing over one whose writing was cut off."""
    named = args.resume_from_checkpoint
    if named not in (None, "last"):
        if not Path(named, "trainer_state.json").exists():
            raise CheckpointError(f"There is no whole checkpoint of a run at {named}; name a checkpoint-<step> folder.")
        return named
    whole = [path.parent for path in Path(args.output_dir).glob("checkpoint-[0-9]*/trainer_state.json")]
    is_finished = Path(args.output_dir, "model.safetensors").exists()
    if named is None and (whole or is_finished):
        raise CheckpointError(
            f"{args.output_dir} holds another run: pass --resume_from_checkpoint to go on with it, or another "
            "--output_dir."
        )
    if is_finished and not whole:
        raise CheckpointError(f"{args.output_dir} holds a model without its checkpoints: pass another --output_dir.")
    if named and not whole:
        args.say(f"There is no checkpoint in {args.output_dir}: the run begins anew.")
    return str(max(whole, key=lambda path: int(path.name.split("-")[1]))) if whole else None


def search_hyperparameters(new_trainer: partial, model: DigitForImageClassification) -> dict[str, float]:
    """
    Tries learning rates and weight decays, each in a run of the same length; leaves the best in the arguments, and in a
    file for when the run is taken up again.
    """
    args = new_trainer.keywords["args"]
    trials = deepcopy(args)
    trials.output_dir, trials.save_strategy, trials.report_to = f"{args.output_dir}/search", "no", []
    trials.load_best_model_at_end = False
    outcome = Path(trials.output_dir, "best.json")
    if args.resume_from_checkpoint and outcome.exists():
        found = json.loads(outcome.read_text())
    else:
        found = _search(new_trainer(args=trials, model_init=lambda: deepcopy(model), callbacks=[])).hyperparameters
        outcome.write_text(json.dumps(found) + "\n")
    for name, value in found.items():
        setattr(args, name, value)
    return found


def _search(trainer: DigitTrainer) -> BestRun:
    from optuna.samplers import TPESampler  # which is not needed for anything else

    args = trainer.args
    return trainer.hyperparameter_search(
        backend="optuna",
        n_trials=args.hyperparameter_search,
        direction="maximize" if args.greater_is_better else "minimize",
        hp_space=lambda trial: {
            "learning_rate": trial.suggest_float("learning_rate", 1e-3, 5e-2, log=True),
            "weight_decay": trial.suggest_float("weight_decay", 1e-3, 0.2, log=True),
        },
        compute_objective=lambda metrics: metrics[args.metric_for_best_model],
        sampler=TPESampler(seed=args.seed),
    )


def calibrate_all(trainer: DigitTrainer, data: Data) -> dict:
    """
    Fits what the scores mean on validation pictures, and of the numbers on synthetic ones of their digits, if there are
    enough of them.
    """
    model, digits = trainer.model, data.digits
    calibration = calibrate(trainer, data.splits["validation"], data.not_digits)
    if len(digits.frames) >= MIN_VALIDATION_NUMBERS and trainer.is_world_process_zero():
        reader = NumberReadingPipeline(model=model, image_processor=trainer.processing_class, device=model.device)
        texts = [data.labels[label] for label in digits.labels[len(digits.pages) :]]
        written = make_numbers(digits.frames, texts, min(VALIDATION_NUMBERS, len(texts)))
        calibration["numbers"] = calibrate_numbers(reader, ((number.image, number.text) for number in written))
    return calibration


def finish(
    trainer: DigitTrainer, data: Data, start: dict, runs: list[dict], measured_before: dict | None = None
) -> dict:
    """
    Calibrates, measures and writes the checkpoint with its card, and gives the results.

    Args:
        trainer: Of the trained model.
        data: What was read.
        start: Results of the checkpoint that the weights came from; its training pictures count as well.
        runs: All that the weights have been through.
        measured_before: What else was measured of the same weights.
    """
    model, args, folder = trainer.model, trainer.args, Path(trainer.args.output_dir)
    validation, test = data.splits["validation"], data.splits["test"]
    calibration = calibrate_all(trainer, data)
    trainer.save_model(_internal_call=True)  # or it is pushed already, before it is measured

    metrics, threshold = DigitMetrics(data.labels), model.config.rejection_threshold
    validation_scores = scores_of(trainer, validation)
    test_scores = scores_of(trainer, test)  # this is the only look at the test split
    trainer.results = {
        "train": start["train"] | {source: len(pictures) for source, pictures in data.splits["train"].items()},
        "licenses": start["licenses"] | data.licenses,
        "calibration": calibration,
        "validation": measure_all(validation_scores, validation, metrics, threshold),
        "test": measure_all(test_scores, test, metrics, threshold, data.label_errors),
        "labels": data.labels,
        "parameters": model.num_parameters(),
        "runs": runs,
        "model_id": args.hub_model_id,
        **(measured_before or {}),
    }
    args.say("\n" + results_table(trainer.results))
    if trainer.is_world_process_zero():
        (folder / "results.json").write_text(json.dumps(trainer.results, indent=2) + "\n")
        if test:
            draw_failures(model, test_scores, test, folder)
        if "tensorboard" in args.report_to:
            show_on_tensorboard(trainer, validation, validation_scores)
    trainer.create_model_card()
    args.say(f"\nCheckpoint, model card and results: {folder}")
    if args.push_to_hub:
        push(trainer, data)
    return trainer.results


def push(trainer: DigitTrainer, data: Data) -> None:
    """Pushes all that lies in a run's folder, with a report on its validation pictures."""
    if trainer.is_world_process_zero():
        model, processor = trainer.model, trainer.processing_class
        classifier = DigitImageClassificationPipeline(model=model, image_processor=processor, device=model.device)
        evaluate_digits("validation", data.held_out, classifier, 32, Path(trainer.args.output_dir, "report"))
    patiently(trainer.push_to_hub)


def train(
    model_args: ModelArguments, data_args: DataArguments, args: DigitTrainingArguments
) -> tuple[DigitTrainer, Data]:
    """One run, from the pictures to the card: a new one, one from a checkpoint on, or the rest of one."""
    checkpoint = find_checkpoint(args)
    set_seed(args.seed)

    pretrained = load_checkpoint(model_args.model_name_or_path) if model_args.model_name_or_path else None
    own_labels = list(pretrained[0].config.id2label.values()) if pretrained and not model_args.new_labels else None
    with args.main_process_first(desc="reading the pictures"):  # the others find them in the cache
        dataset = merge(data_args, own_labels, args.say)
    args.say(count_table(dataset).to_string())
    labels = dataset["train"].features["label"].names
    model, processor = pretrained or new_model(labels)
    if model_args.new_labels:
        model = with_new_labels(model, labels)
    model.to(memory_format=torch.channels_last)  # a quarter faster on a CPU
    teachers = load_teachers(model_args.teachers, list(model.config.id2label.values()))
    pages = Pages(size=model.config.image_size)
    data = prepare(data_args, dataset, processor, pages)
    metric = (args.metric_for_best_model or "loss").removeprefix("eval_")
    if metric.endswith("ece"):
        args.greater_is_better = False  # transformers takes everything but a loss for better the higher it is
    sources = list(data.splits["validation"])
    known = [f"{source}_{figure}" for source in sources for figure in LOGGED]
    metric = metric if metric in known else f"{sources[-1]}_{metric}"  # of the synthetic pages, if there are any
    if metric not in known:
        raise DataError(f"--metric_for_best_model is one of {', '.join(LOGGED)}, or of {', '.join(known)}.")
    args.metric_for_best_model = f"eval_{metric}"
    new_trainer = partial(
        DigitTrainer,
        args=args,
        augmentation=Augmentation(),
        pages=pages,
        strings=Strings() if all(map(str.isdecimal, data.labels)) else Strings(worded=0),
        freeze=model_args.freeze,
        other_hands=data.other_hands,
        teachers=teachers,
        train_dataset=data.practice,
        eval_dataset=data.splits["validation"],
        processing_class=processor,
        compute_metrics=partial(log_metrics, DigitMetrics(data.labels)),
        callbacks=[EarlyStopping(args.early_stopping)] if args.early_stopping else [],
    )
    args.say(f"{model.num_parameters():,} parameters, {len(dataset['train']):,} pictures, on {args.device}")
    found = search_hyperparameters(new_trainer, model) if args.hyperparameter_search else {}
    start = deepcopy(model).to(args.device) if model_args.average_with_start else None
    trainer = new_trainer(model=model)
    run = trainer.train(resume_from_checkpoint=checkpoint)
    if start:
        use_average(trainer, [start, model])
    start_results = earlier_results(model_args.model_name_or_path)
    runs = [*start_results["runs"], describe_run(trainer, run, checkpoint, found)]
    measured_before = {}
    if run.metrics["train_runtime"] == 0:  # it had been trained to its end before, and only the rest was left to do
        before = earlier_results(args.output_dir)
        runs = before["runs"] or runs
        measured_before = {part: before[part] for part in ("evaluation", "numbers") if part in before}
    finish(trainer, data, start_results, runs, measured_before)
    return trainer, data


def train_seeds(model_args: ModelArguments, data_args: DataArguments, args: DigitTrainingArguments) -> None:
    """A run with each seed, their spread, and the mean of their weights as a checkpoint of its own."""
    folder, runs, models = Path(args.output_dir), {}, []
    runs_args = [deepcopy(args) for _ in args.seeds]
    for own, seed in zip(runs_args, args.seeds):
        own.seed, own.output_dir = seed, str(folder / f"seed-{seed}")
        find_checkpoint(own)  # that of the last one should not be missed only after all others
    for own in runs_args:
        trainer, data = train(model_args, data_args, own)
        runs[str(own.seed)] = trainer.results
        models.append(deepcopy(trainer.model))
    use_average(trainer, models)
    trainer.args.output_dir = str(folder / "average")
    start = earlier_results(model_args.model_name_or_path)
    own = [run for results in runs.values() for run in results["runs"][len(start["runs"]) :]]
    average = finish(trainer, data, start, start["runs"] + own)
    if trainer.is_world_process_zero():
        (folder / "seeds.json").write_text(json.dumps({"seeds": runs, "average": average}, indent=2) + "\n")
        print("\n" + seeds_table(list(runs.values()), average))


def kept_in(folder: str) -> str:
    """What to add to the last sentence of a run that ends early."""
    is_kept = any(Path(folder).glob("**/checkpoint-*"))
    return " What was trained is kept: --resume_from_checkpoint goes on from there." if is_kept else ""


def main() -> None:
    keep_freed_memory()
    parser = HfArgumentParser((ModelArguments, DataArguments, DigitTrainingArguments), description=__doc__)
    try:
        arguments = parser.parse_args_into_dataclasses()
    except ValueError as error:  # a flag that is unknown or contradicts another
        sys.exit(f"error: {error}")
    try:
        (train_seeds if arguments[-1].seeds else train)(*arguments)
    except (DataError, CheckpointError) as error:
        sys.exit(f"error: {error}")
    except ImportError as error:  # what a flag of transformers needs beside what is installed
        sys.exit(f"error: {first_line(error)}")
    except (OSError, SafetensorError, httpx.HTTPError) as error:  # no network, no token, a full disk
        sys.exit(f"error: {first_line(error)}.{kept_in(arguments[-1].output_dir)}")
    except KeyboardInterrupt:
        sys.exit(f"Stopped.{kept_in(arguments[-1].output_dir)}")


if __name__ == "__main__":
    main()
