"""
Trains the digit model: arguments -> data -> Trainer -> evaluation -> checkpoint and model card.

    python train.py                                        # the released recipe on MNIST from the Hub
    python train.py --custom_data my_photos/               # and on your own pictures: <label>/<name>.png
    python train.py --resume_from_checkpoint               # goes on where a killed run was
    torchrun --nproc_per_node 2 train.py                   # two processes; accelerate launch works as well

Every flag of transformers' TrainingArguments works; `python train.py --help` lists them.
"""

import ctypes
import json
import platform
import shlex
import sys
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import datasets
import numpy as np
import torch
import transformers
from huggingface_hub.utils import httpx
from transformers import EvalPrediction, HfArgumentParser, Trainer, TrainingArguments, set_seed
from transformers.trainer_utils import PredictionOutput, TrainOutput

from data_prep import (
    Augmentation,
    DataArguments,
    DataError,
    Pages,
    Pictures,
    Strings,
    by_source,
    count_table,
    merge,
    not_digits,
    numbers,
    on_pages,
    pairs,
    read_not_digits,
    to_pictures,
    written_in_other_hands,
)
from data_prep.errors import first_line
from digit_model import (
    CheckpointError,
    DigitConfig,
    DigitForImageClassification,
    DigitImageProcessor,
    NumberReadingPipeline,
    load_checkpoint,
)
from digit_model.calibration import calibrate_numbers, fit_temperature, rejection_threshold
from digit_model.evaluation import DigitMetrics, measure
from digit_model.model_card import model_card, results_table
from digit_model.modeling_digit import NO_LABEL

NETWORKS = ("ink", "characters", "classifier")


@dataclass
class ModelArguments:
    """Which network to train."""

    model_name_or_path: str | None = field(
        default=None, metadata={"help": "A checkpoint to train further, a folder or an id on the Hub; scratch if none."}
    )
    freeze: list[str] = field(
        default_factory=list,
        metadata={"help": f"Networks to leave as they are, any of {', '.join(NETWORKS)}."},
    )

    def __post_init__(self):
        if unknown := set(self.freeze) - set(NETWORKS):
            raise ValueError(f"--freeze takes {', '.join(NETWORKS)}, got {', '.join(sorted(unknown))}.")
        if set(self.freeze) == set(NETWORKS):
            raise ValueError("--freeze leaves nothing to train.")


@dataclass
class DigitTrainingArguments(TrainingArguments):
    """transformers' TrainingArguments with the released recipe as defaults."""

    output_dir: str = field(default="runs/digit", metadata={"help": "Where the checkpoint and the card are written."})
    num_train_epochs: float = field(default=9.0, metadata={"help": "Times that every training picture is seen."})
    per_device_train_batch_size: int = field(default=192, metadata={"help": "Pictures a step and process."})
    per_device_eval_batch_size: int = field(default=500, metadata={"help": "Pictures a step of evaluation."})
    pages_per_step: int = field(default=32, metadata={"help": "Synthetic pages a step and process."})
    strings_per_step: int = field(default=12, metadata={"help": "Numbers a step and process."})
    learning_rate: float = field(default=2e-3, metadata={"help": "Highest learning rate of AdamW."})
    weight_decay: float = field(default=0.02, metadata={"help": "Weight decay of AdamW."})
    lr_scheduler_type: str = field(default="cosine", metadata={"help": "How the learning rate falls."})
    warmup_steps: float = field(default=0.05, metadata={"help": "Share of the steps in which it rises first."})
    eval_strategy: str = field(default="steps", metadata={"help": "When the validation pictures are read."})
    eval_steps: float = field(default=0.5, metadata={"help": "Steps, or share of all steps, between two such times."})
    save_strategy: str = field(default="epoch", metadata={"help": "When a checkpoint is saved."})
    save_total_limit: int | None = field(default=2, metadata={"help": "How many checkpoints are kept."})
    logging_steps: float = field(default=50, metadata={"help": "Steps between two lines of the log."})
    report_to: str | None = field(default="none", metadata={"help": "'tensorboard' writes curves to output_dir/runs."})
    remove_unused_columns: bool = field(default=False, metadata={"help": "Must stay off: there are none."})
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
        self.label_names = ["labels"]  # and not the ink's, which evaluation has none of
        super().__post_init__()


SHARP_SHARE = 0.3  # of the plain frames that are read as they are: warping blurs, and what is read in use is sharp
NOT_DIGITS_SHARE = 0.2  # letters, symbols and scribbles for every training picture
HANDS_SHARE = 0.08  # digits in the hands of other countries, for every training picture
PAIRS = 6  # two characters side by side, in every step, which are none of the labels either
SMALL_PAGE = 96  # side of the pages in the first half of a run: 0.56 of the pixels, so more steps in the same time
VALIDATION_NOT_DIGITS = 500
VALIDATION_PAGES = 2000
VALIDATION_NUMBERS = 1000


class DigitTrainer(Trainer):
    """A Trainer that augments, and makes synthetic pages, on the device it trains on; it writes our model card."""

    def __init__(self, *args, augmentation: Augmentation, pages: Pages, freeze: list[str], **kwargs):
        super().__init__(*args, data_collator=lambda batch: batch, **kwargs)
        self.augmentation, self.freeze = augmentation, freeze
        self.pages, self.small_pages = pages, replace(pages, size=min(SMALL_PAGE, pages.size))
        self.strings = Strings()
        self.results = {}

    def compute_loss(self, model, inputs, **kwargs):
        inputs = inputs | {name: inputs[name].float() / 255 for name in ("pixel_values", "frames")}
        return super().compute_loss(model, self._practice(inputs) if model.training else inputs, **kwargs)

    def _practice(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """What the model reads in a training step; networks that stay as they are do so in their statistics too."""
        model = self.accelerator.unwrap_model(self.model)
        model.ink.eval()  # real pages are framed as they will be when the model is used
        with torch.no_grad(), self.accelerator.autocast():
            frames = torch.cat([model.to_frames(inputs["pixel_values"]), inputs["frames"]])
        for name in NETWORKS:
            getattr(model, name).train(name not in self.freeze)
        warped, practice = self.augmentation(frames), {}
        if not {"ink", "classifier"} <= set(self.freeze):
            practice |= self._pages_and_frames(frames, warped, inputs["labels"])
        if "characters" not in self.freeze:
            strings = self.strings(warped, self.args.strings_per_step)
            practice |= {"strings": strings.ink, "character_labels": strings.owner}
        return practice

    def _pages_and_frames(
        self, frames: torch.Tensor, warped: torch.Tensor, labels: torch.Tensor
    ) -> dict[str, torch.Tensor]:
        """Every character as a frame, and some of them on synthetic pages."""
        is_sharp = torch.rand(len(frames), 1, 1, 1, device=frames.device) < SHARP_SHARE
        on_pages = self.args.pages_per_step  # the first ones: custom pictures, as far as there are any, then MNIST
        is_first_half = self.state.global_step < self.state.max_steps / 2
        batch = (self.small_pages if is_first_half else self.pages)(warped[:on_pages])
        both = pairs(warped[-PAIRS:])
        page_labels = labels[:on_pages].where(batch.is_single, -100).where(~batch.is_blank, NO_LABEL)
        no_label = labels.new_full((len(both),), NO_LABEL)
        return {
            "pixel_values": batch.pages,
            "frames": torch.cat([frames.where(is_sharp, warped), both]),
            "labels": torch.cat([page_labels, labels, no_label]),
            "ink_labels": batch.ink,
        }

    def create_model_card(self, model_name: str | None = None, **kwargs) -> None:
        if self.is_world_process_zero() and self.results:
            model_card(self.results, model_name or self.args.hub_model_id).save(f"{self.args.output_dir}/README.md")


def new_model(labels: list[str]) -> tuple[DigitForImageClassification, DigitImageProcessor]:
    """An untrained model for these labels, and the processor that makes its pages."""
    config = DigitConfig(id2label=dict(enumerate(labels)), label2id={label: i for i, label in enumerate(labels)})
    size = {"height": config.image_size, "width": config.image_size}
    return DigitForImageClassification(config), DigitImageProcessor(size=size, frame_size=config.frame_size)


def find_checkpoint(args: DigitTrainingArguments) -> str | None:
    """The checkpoint to go on from, passing over one whose writing was cut off."""
    named = args.resume_from_checkpoint
    if named not in (None, "last"):
        if not Path(named, "trainer_state.json").exists():
            raise CheckpointError(f"There is no whole checkpoint of a run at {named}; name a checkpoint-<step> folder.")
        return named
    whole = [path.parent for path in Path(args.output_dir).glob("checkpoint-*/trainer_state.json")]
    if whole and named is None:
        raise CheckpointError(
            f"{args.output_dir} holds checkpoints of another run: pass --resume_from_checkpoint to go on with it, or "
            "another --output_dir."
        )
    return str(max(whole, key=lambda path: int(path.name.split("-")[1]))) if whole else None


def to_scores(prediction: EvalPrediction | PredictionOutput) -> torch.Tensor:
    return torch.from_numpy(prediction.predictions).softmax(-1)


def log_metrics(metrics: DigitMetrics, prediction: EvalPrediction) -> dict[str, float]:
    """The figures for the log, without those of each label: they are in the results at the end."""
    figures = metrics.compute(predictions=to_scores(prediction), references=prediction.label_ids)
    return {name: figure for name, figure in figures.items() if name != "recall"}


def calibrate(trainer: Trainer, digits: dict[str, Pictures], not_digits: list[Pictures]) -> dict[str, float]:
    """Fits the temperature and the rejection threshold on validation pictures, and leaves them in the config."""
    config = trainer.model.config
    config.temperature = 1.0
    predictions = [trainer.predict(pictures) for pictures in digits.values()]
    logits, labels = (np.concatenate(part) for part in zip(*[prediction[:2] for prediction in predictions]))
    config.temperature = fit_temperature(torch.from_numpy(logits), torch.from_numpy(labels))
    scores = torch.cat([to_scores(trainer.predict(pictures)).amax(1) for pictures in not_digits])
    config.rejection_threshold = rejection_threshold(scores.numpy())
    return {"temperature": config.temperature, "rejection_threshold": config.rejection_threshold, "n": len(scores)}


def measure_all(trainer: Trainer, splits: dict[str, Pictures], metrics: DigitMetrics) -> dict[str, dict]:
    """The final figures on each source."""
    threshold, measured = trainer.model.config.rejection_threshold, {}
    for source, pictures in splits.items():
        prediction = trainer.predict(pictures)
        measured[source] = measure(metrics, to_scores(prediction), prediction.label_ids, threshold)
    return measured


def earlier_runs(name: str | None) -> list[dict]:
    """Those that a checkpoint in a folder has been through."""
    results = Path(name or "", "results.json")
    return json.loads(results.read_text())["runs"] if name and results.exists() else []


def describe_run(trainer: Trainer, run: TrainOutput, checkpoint: str | None) -> dict:
    """How the weights came to be, for the results and the card."""
    args = trainer.args
    return {
        "command": shlex.join(["python", "train.py", *sys.argv[1:]]),
        "seed": args.seed,
        "epochs": trainer.state.epoch,
        "steps": trainer.state.global_step,
        "train_loss": run.training_loss,
        "train_minutes": run.metrics["train_runtime"] / 60,
        "resumed_from": checkpoint and Path(checkpoint).name,
        "processes": args.world_size,
        "device": torch.cuda.get_device_name() if args.n_gpu else f"{torch.get_num_threads()} CPU threads",
        "versions": {"python": platform.python_version()}
        | {module.__name__: module.__version__ for module in (torch, transformers, datasets)},
    }


def train(model_args: ModelArguments, data_args: DataArguments, args: DigitTrainingArguments) -> None:
    checkpoint = find_checkpoint(args)
    say = print if args.process_index == 0 else lambda text: None
    set_seed(args.seed)

    pretrained = load_checkpoint(model_args.model_name_or_path) if model_args.model_name_or_path else None
    with args.main_process_first(desc="reading the pictures"):  # the others find them in the cache
        dataset = merge(data_args, list(pretrained[0].config.id2label.values()) if pretrained else None, say)
    say(count_table(dataset).to_string())
    labels = dataset["train"].features["label"].names
    model, processor = pretrained or new_model(labels)
    for name in NETWORKS:
        getattr(model, name).requires_grad_(name not in model_args.freeze)
    splits = {split: by_source(rows, processor) for split, rows in dataset.items()}
    counts = {"train": round(NOT_DIGITS_SHARE * len(dataset["train"])), "validation": VALIDATION_NOT_DIGITS}
    others = {
        split: Pictures.of_frames(not_digits(count, labels, split), torch.full((count,), NO_LABEL), processor)
        for split, count in counts.items()
    }
    drawn = written_in_other_hands(round(HANDS_SHARE * len(dataset["train"])), labels)
    splits["train"]["other_hands"] = Pictures.of_frames(*drawn, processor)
    not_to_answer = [others["validation"]]
    if data_args.not_digits:
        not_to_answer.append(to_pictures(read_not_digits(data_args.not_digits), processor))
    pages = Pages(size=model.config.image_size)
    all_digits = sum(splits["validation"].values(), start=Pictures.none(processor))
    validation = splits["validation"]
    if len(all_digits.frames):
        validation["pages"] = on_pages(all_digits, pages, VALIDATION_PAGES)

    metrics = DigitMetrics(labels)
    trainer = DigitTrainer(
        model=model.to(memory_format=torch.channels_last),  # a quarter faster on a CPU
        args=args,
        augmentation=Augmentation(),
        pages=pages,
        freeze=model_args.freeze,
        train_dataset=sum(splits["train"].values(), start=others["train"]),
        eval_dataset=validation,
        processing_class=processor,
        compute_metrics=partial(log_metrics, metrics),
    )
    say(f"{model.num_parameters():,} parameters, {len(dataset['train']):,} pictures, on {args.device}")
    run = trainer.train(resume_from_checkpoint=checkpoint)
    calibration = calibrate(trainer, validation, not_to_answer)
    if len(all_digits.frames) and trainer.is_world_process_zero():
        reader = NumberReadingPipeline(model=model, image_processor=processor)
        texts = [labels[label] for label in all_digits.labels[len(all_digits.pages) :]]
        written = numbers(all_digits.frames, texts, min(VALIDATION_NUMBERS, len(texts)))
        calibration["numbers"] = calibrate_numbers(reader, ((number.image, number.text) for number in written))
    trainer.save_model()

    results = {
        "train": {source: len(pictures) for source, pictures in splits["train"].items()},
        "calibration": calibration,
        "validation": measure_all(trainer, validation, metrics),
        "test": measure_all(trainer, splits["test"], metrics),  # this is the only look at the test split
    }
    say("\n" + results_table(results))
    trainer.results = results | {
        "labels": labels,
        "parameters": model.num_parameters(),
        "runs": [*earlier_runs(model_args.model_name_or_path), describe_run(trainer, run, checkpoint)],
    }
    if trainer.is_world_process_zero():
        Path(args.output_dir, "results.json").write_text(json.dumps(trainer.results, indent=2) + "\n")
    trainer.create_model_card()
    say(f"\nCheckpoint, model card and results: {args.output_dir}")
    if args.push_to_hub:
        trainer.push_to_hub()


def keep_freed_memory() -> None:
    """
    Lets freed memory be used again in the next step. Of itself, glibc gives large blocks back to the system, which
    zeroes each before it hands it out again: a fifth of a step's time on a CPU.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        trim_threshold, mmap_threshold = -1, -3  # as malloc.h numbers them
        libc.mallopt(trim_threshold, 2**31 - 1)
        libc.mallopt(mmap_threshold, 2**30)


def main() -> None:
    keep_freed_memory()
    parser = HfArgumentParser((ModelArguments, DataArguments, DigitTrainingArguments), description=__doc__)
    try:
        arguments = parser.parse_args_into_dataclasses()
    except ValueError as error:  # a flag that is unknown or contradicts another
        sys.exit(f"error: {error}")
    try:
        train(*arguments)
    except (DataError, CheckpointError) as error:
        sys.exit(f"error: {error}")
    except (OSError, httpx.HTTPError) as error:  # no network, no token, a full disk
        sys.exit(f"error: {first_line(error)}. What was trained is kept: --resume_from_checkpoint goes on from there.")
    except KeyboardInterrupt:
        sys.exit("Stopped. The last checkpoint is kept: --resume_from_checkpoint goes on from there.")


if __name__ == "__main__":
    main()
