"""
Trains the digit model: arguments -> data -> Trainer -> evaluation -> checkpoint and model card.

    python train.py                                        # the released recipe on MNIST from the Hub
    python train.py --custom_data my_photos/               # and on your own pictures: <label>/<name>.png
    python train.py --resume_from_checkpoint               # goes on where a killed run was
    torchrun --nproc_per_node 2 train.py                   # two processes; accelerate launch works as well

Every flag of transformers' TrainingArguments works; `python train.py --help` lists them.
"""

import json
import platform
import shlex
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import datasets
import numpy as np
import torch
import transformers
from datasets import Dataset
from huggingface_hub.utils import httpx
from tqdm.auto import tqdm
from transformers import EvalPrediction, HfArgumentParser, Trainer, TrainingArguments, set_seed
from transformers.trainer_utils import PredictionOutput, TrainOutput

from data_prep import Augmentation, DataArguments, DataError, count_table, merge
from data_prep.errors import first_line
from digit_model import (
    CheckpointError,
    DigitConfig,
    DigitForImageClassification,
    DigitImageProcessor,
    load_checkpoint,
)
from digit_model.evaluation import DigitMetrics, accuracy_interval
from digit_model.model_card import model_card, results_table


@dataclass
class ModelArguments:
    """Which network to train."""

    model_name_or_path: str | None = field(
        default=None, metadata={"help": "A checkpoint to train further, a folder or an id on the Hub; scratch if none."}
    )


@dataclass
class DigitTrainingArguments(TrainingArguments):
    """transformers' TrainingArguments with the released recipe as defaults."""

    output_dir: str = field(default="runs/digit", metadata={"help": "Where the checkpoint and the card are written."})
    num_train_epochs: float = field(default=20.0, metadata={"help": "Times that every training picture is seen."})
    per_device_train_batch_size: int = field(default=256, metadata={"help": "Pictures a step and process."})
    per_device_eval_batch_size: int = field(default=1000, metadata={"help": "Pictures a step of evaluation."})
    learning_rate: float = field(default=3e-3, metadata={"help": "Highest learning rate of AdamW."})
    weight_decay: float = field(default=0.02, metadata={"help": "Weight decay of AdamW."})
    lr_scheduler_type: str = field(default="cosine", metadata={"help": "How the learning rate falls."})
    warmup_steps: float = field(default=0.05, metadata={"help": "Share of the steps in which it rises first."})
    eval_strategy: str = field(default="epoch", metadata={"help": "When the validation pictures are read."})
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
        super().__post_init__()


class Frames(torch.utils.data.Dataset):
    """All frames of a split as one uint8 tensor, fetched a whole batch at a time."""

    def __init__(self, frames: torch.Tensor, labels: torch.Tensor):
        self.frames, self.labels = frames, labels  # uint8 (N, 1, 28, 28), int64 (N,)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitems__(self, indices: list[int]) -> dict[str, torch.Tensor]:
        return {"pixel_values": self.frames[indices], "labels": self.labels[indices]}


class DigitTrainer(Trainer):
    """A Trainer that augments whole batches on the device they are trained on, and writes our model card."""

    def __init__(self, *args, augmentation: Augmentation, **kwargs):
        super().__init__(*args, data_collator=lambda batch: batch, **kwargs)
        self.augmentation = augmentation
        self.results = {}

    def compute_loss(self, model, inputs, **kwargs):
        frames = inputs["pixel_values"]
        frames = self.augmentation(frames) if model.training else frames.float() / 255
        return super().compute_loss(model, inputs | {"pixel_values": frames}, **kwargs)

    def create_model_card(self, model_name: str | None = None, **kwargs) -> None:
        if self.is_world_process_zero() and self.results:
            model_card(self.results, model_name or self.args.hub_model_id).save(f"{self.args.output_dir}/README.md")


def to_frames(rows: Dataset, processor: DigitImageProcessor, model: DigitForImageClassification) -> Frames:
    """Every picture of a split on the one way that all pictures go, up to the classifier."""
    frames = []
    for batch in tqdm(rows.iter(256), total=-(-len(rows) // 256), desc="Framing the pictures", leave=False):
        # one by one: in a batch of mixed sizes an MNIST frame would be taken for a page
        pages = [processor(image, return_tensors="pt")["pixel_values"][0] for image in batch["image"]]
        with torch.inference_mode():
            frames.append((model.to_frames(pages) * 255).round().byte())
    return Frames(torch.cat(frames), torch.tensor(rows["label"]))


def by_source(rows: Dataset, frames: Frames) -> dict[str, Frames]:
    """The frames of each source on their own."""
    sources = np.array(rows["source"])
    masks = {source: torch.from_numpy(sources == source) for source in rows.unique("source")}
    return {source: Frames(frames.frames[mask], frames.labels[mask]) for source, mask in masks.items()}


def together(sources: dict[str, Frames]) -> Frames:
    """The frames of all sources."""
    return Frames(
        torch.cat([frames.frames for frames in sources.values()]),
        torch.cat([frames.labels for frames in sources.values()]),
    )


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


def score(metrics: DigitMetrics, prediction: EvalPrediction | PredictionOutput) -> dict:
    """The figures of one pass over some frames."""
    scores = torch.from_numpy(prediction.predictions).softmax(-1)
    return metrics.compute(predictions=scores, references=prediction.label_ids)


def log_metrics(metrics: DigitMetrics, prediction: EvalPrediction) -> dict[str, float]:
    """The figures for the log, without those of each label: they are in the results at the end."""
    return {name: figure for name, figure in score(metrics, prediction).items() if name != "recall"}


def measure(trainer: Trainer, splits: dict[str, Frames], metrics: DigitMetrics) -> dict[str, dict]:
    """The final figures on each source, with the number of pictures and the 95 % interval of the accuracy."""
    measured = {}
    for source, frames in splits.items():
        figures = score(metrics, trainer.predict(frames))
        interval = accuracy_interval(figures["accuracy"], len(frames))
        measured[source] = {"n": len(frames), "accuracy_interval": interval} | figures
    return measured


def describe_run(trainer: Trainer, run: TrainOutput, checkpoint: str | None) -> dict:
    """How the weights came to be, for the results and the card."""
    args = trainer.args
    return {
        "command": shlex.join(["python", "train.py", *sys.argv[1:]]),
        "labels": list(trainer.model.config.id2label.values()),
        "parameters": trainer.model.num_parameters(),
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
    splits = {split: by_source(rows, to_frames(rows, processor, model)) for split, rows in dataset.items()}

    metrics = DigitMetrics(labels)
    trainer = DigitTrainer(
        model=model.to(memory_format=torch.channels_last),  # a quarter faster on a CPU
        args=args,
        augmentation=Augmentation(),
        train_dataset=together(splits["train"]),
        eval_dataset=splits["validation"],
        processing_class=processor,
        compute_metrics=partial(log_metrics, metrics),
    )
    say(f"{model.num_parameters():,} parameters, {len(dataset['train']):,} pictures, on {args.device}")
    run = trainer.train(resume_from_checkpoint=checkpoint)
    trainer.save_model()

    results = {"train": {source: len(frames) for source, frames in splits["train"].items()}}
    for split in ("validation", "test"):  # this is the only look at the test split
        results[split] = measure(trainer, splits[split], metrics)
        say("\n" + results_table({split: results[split]}))
    trainer.results = results | describe_run(trainer, run, checkpoint)
    if trainer.is_world_process_zero():
        Path(args.output_dir, "results.json").write_text(json.dumps(trainer.results, indent=2) + "\n")
    trainer.create_model_card()
    say(f"\nCheckpoint, model card and results: {args.output_dir}")
    if args.push_to_hub:
        trainer.push_to_hub()


def main() -> None:
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
