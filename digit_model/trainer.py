"""A Trainer that augments its pictures, and writes some of them on synthetic pages."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import torch
from pytorch_optimizer import Muon
from pytorch_optimizer.optimizer.utils.matrix import zero_power_via_newton_schulz_5
from torch.utils.data import Dataset
from torch.utils.tensorboard import SummaryWriter
from transformers import (
    EarlyStoppingCallback,
    PreTrainedModel,
    Trainer,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.integrations import TensorBoardCallback
from transformers.trainer_utils import TrainOutput

from .failures import draw_confusion
from .model_card import model_card
from .modeling_digit import NO_LABEL

NETWORKS = ("ink", "characters", "classifier", "letters")
SHARP_SHARE = 0.5  # of the plain frames that are read as they are: warping blurs, and what is read in use is sharp
OTHERS_RATE = 0.3  # AdamW's learning rate for all but the kernels, as a share of Muon's
CHARACTERS_PER_STRING, NEIGHBOURS_PER_STRING = 5, 0.5  # that are read as frames, neighbours as if they were one
STRIP_WIDTH, STRIP_HEIGHTS = 256, (96, 96, 128, 160)  # of the pages that are as wide as a number is looked at
ON_STRIPS = {"string": 0.6, "fields": 0.3, "straight": 0.15, "small": 0.05}  # what `Pages` writes there: more numbers
OTHER_HANDS = 1.0  # digits of those on pages and in numbers, for every other one there
SMALL_PAGE = 96  # side of the pages in the first half of a run: 0.56 of the pixels, so more steps in the same time


class DigitTrainer(Trainer):
    """
    Takes, beside what a `Trainer` takes, what makes practice of frames (N, 1, 28, 28) in [0, 1], on their own device.

    Args:
        augmentation: A `data_prep.Augmentation`: frames -> as many frames, warped.
        pages: A `data_prep.Pages`: frames -> synthetic pages with their ink.
        strings: A `data_prep.Strings`: frames and a count -> the ink of so many numbers, and whose each stroke is.
        freeze: The networks that stay as they are, of `NETWORKS`.
        other_hands: A dataset of frames that are practised on pages and in numbers, as people bring them, and never as
            plain frames: those are MNIST's, whose people mean a 2 by what is a 7 elsewhere.
        teachers: Models of the same labels, whose mean answer the classifier learns from beside the labels.
    """

    def __init__(
        self,
        *args,
        augmentation: Callable[[torch.Tensor], torch.Tensor],
        pages: Callable,
        strings: Callable,
        freeze: list[str],
        other_hands: Dataset | None = None,
        teachers: Sequence[PreTrainedModel] = (),
        **kwargs,
    ):
        super().__init__(*args, data_collator=_as_it_is, **kwargs)
        self.add_callback(SeedPerProcess())
        self.label_smoother = None  # the model does it, as it knows which of its losses has labels
        self.augmentation, self.strings, self.freeze = augmentation, strings, freeze
        self.other_hands = other_hands
        self.warp = replace(augmentation, stroke=0)  # pages and numbers bring a pen of their own
        self.pages, self.small_pages = pages, replace(pages, size=min(SMALL_PAGE, pages.size))
        self.wide_pages = replace(pages, size=STRIP_WIDTH, **ON_STRIPS)
        classifiers = [teacher.classifier.eval() for teacher in teachers]
        self.teachers = [each.to(self.args.device, memory_format=torch.channels_last) for each in classifiers]
        self.results = {}

    def train(self, resume_from_checkpoint: str | None = None, **kwargs) -> TrainOutput:
        """A run that is at its end is left as it is, where a `Trainer` would take one step more."""
        if resume_from_checkpoint:
            state = TrainerState.load_from_json(f"{resume_from_checkpoint}/trainer_state.json")
            if _is_at_end(state, self.args):
                self.state = state
                self._load_from_checkpoint(str(_final_weights(state, self.args, Path(resume_from_checkpoint))))
                losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
                return TrainOutput(state.global_step, fmean(losses or [0]), {"train_runtime": 0.0})
        return super().train(resume_from_checkpoint, **kwargs)

    def create_optimizer(self, model=None) -> torch.optim.Optimizer:
        for name in NETWORKS:
            getattr(self.model, name).requires_grad_(name not in self.freeze)
        if self.args.muon and self.optimizer is None:
            has_bfloat16 = self.args.bf16 or self.args.device.type != "cpu"
            self.optimizer = muon(self.model, self.args.learning_rate, self.args.weight_decay, has_bfloat16)
        return super().create_optimizer(model)

    def compute_loss(self, model, inputs, **kwargs):
        inputs = inputs | {name: inputs[name].float() / 255 for name in ("pixel_values", "frames")}
        return super().compute_loss(model, self._practice(inputs) if model.training else inputs, **kwargs)

    def _practice(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """What the model reads in a training step; networks that stay as they are do so in their statistics too."""
        model = self.accelerator.unwrap_model(self.model)
        model.ink.eval()  # real pages are framed as they will be when the model is used
        with torch.no_grad(), self.accelerator.autocast():
            frames = torch.cat([model.to_frames(inputs["pixel_values"]), inputs["frames"]])
        labels, count = inputs["labels"], len(frames)
        frames, labels = self._with_other_hands(frames, labels)
        for name in NETWORKS:
            getattr(model, name).train(name not in self.freeze)
        practice = {"smoothing": self.args.label_smoothing_factor, "teachers": self.teachers}
        if not {"ink", "classifier"} <= set(self.freeze):
            practice |= self._pages_and_frames(frames, labels, count)
        if not {"characters", "classifier", "letters"} <= set(self.freeze):
            practice |= self._strings(self.warp(frames), labels, practice.get("labels"))
        return practice

    def _with_other_hands(self, frames: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Frames and labels of a batch, and behind them some of the other hands."""
        if not self.other_hands:
            return frames, labels
        chosen = torch.randint(len(self.other_hands), (round(OTHER_HANDS * len(frames)),))
        others = {name: part.to(frames.device) for name, part in self.other_hands.__getitems__(chosen.tolist()).items()}
        return torch.cat([frames, others["frames"] / 255]), torch.cat([labels, others["labels"]])

    def _pages_and_frames(self, frames: torch.Tensor, labels: torch.Tensor, count: int) -> dict[str, torch.Tensor]:
        """The first characters, so many, as frames, and some of all on synthetic pages."""
        plain = frames[:count]
        is_sharp = torch.rand(count, 1, 1, 1, device=frames.device) < SHARP_SHARE
        on_pages = torch.randperm(len(frames), device=frames.device)[: self.args.pages_per_step]
        if torch.rand(()) < self.args.strips_share:
            on_pages = on_pages[: (len(on_pages) + 1) // 2]  # as each is as large as two
            height = STRIP_HEIGHTS[torch.randint(len(STRIP_HEIGHTS), ())]
            batch = self.wide_pages(self.warp(frames[on_pages])).strips(height)
        else:
            is_first_half = self.state.global_step < self.state.max_steps / 2
            batch = (self.small_pages if is_first_half else self.pages)(self.warp(frames[on_pages]))
        page_labels = labels[on_pages].where(batch.is_single, -100).where(~batch.is_blank, NO_LABEL)
        return {
            "pixel_values": batch.pages,
            "frames": plain.where(is_sharp, self.augmentation(plain)),
            "labels": torch.cat([page_labels, labels[:count]]),
            "ink_targets": batch.ink,
        }

    def _strings(
        self, warped: torch.Tensor, labels: torch.Tensor, labels_before: torch.Tensor | None
    ) -> dict[str, torch.Tensor]:
        """Numbers to be told apart, and some of their characters as frames, alone and with the next one."""
        strings = self.strings(warped, self.args.strings_per_step)
        practice = {"strings": strings.ink, "character_targets": strings.owner}
        if {"classifier", "letters"} <= set(self.freeze):
            return practice
        labels_before = labels[:0] if labels_before is None else labels_before
        alone, both = (
            torch.randperm(len(each), device=warped.device)[: int(share * self.args.strings_per_step)]
            for each, share in (
                (strings.characters, CHARACTERS_PER_STRING),
                (strings.neighbours, NEIGHBOURS_PER_STRING),
            )
        )
        frames, no_label = strings.frames[alone], labels.new_full((len(both),), NO_LABEL)
        is_letter = frames < 0
        return practice | {
            "character_pairs": torch.cat([strings.characters[alone][:, [0, 1, 1]], strings.neighbours[both]]),
            "labels": torch.cat([labels_before, labels[frames.clamp(min=0)].where(~is_letter, -100), no_label]),
            "letter_targets": torch.cat([is_letter.long(), torch.full_like(no_label, -100)]),
        }

    def _get_train_sampler(self, train_dataset=None) -> torch.utils.data.Sampler:
        if self.args.class_balanced:
            return BalancedSampler(self.train_dataset.labels, self.args.seed)
        return super()._get_train_sampler(train_dataset)

    def create_model_card(self, **kwargs) -> None:
        if self.is_world_process_zero() and self.results:
            model_card(self.results, self.args.hub_model_id).save(f"{self.args.output_dir}/README.md")


def _is_at_end(state: TrainerState, args: TrainingArguments) -> bool:
    if stopping := state.stateful_callbacks.get("EarlyStopping"):
        patience = max(args.early_stopping, stopping["args"]["early_stopping_patience"])
        if stopping["attributes"]["early_stopping_patience_counter"] >= patience:
            return True
    if args.max_steps > 0:
        return state.global_step >= args.max_steps
    return state.epoch >= args.num_train_epochs - 1e-6


def _final_weights(state: TrainerState, args: TrainingArguments, last: Path) -> Path:
    """The checkpoint that a run ends with: its last one, or its best."""
    keeps_best = args.load_best_model_at_end or "EarlyStopping" in state.stateful_callbacks
    return last.parent / Path(state.best_model_checkpoint).name if keeps_best and state.best_model_checkpoint else last


def muon(
    model: torch.nn.Module, learning_rate: float, weight_decay: float, has_bfloat16: bool = False
) -> torch.optim.Optimizer:
    """
    Muon for the kernels of the convolutions (Jordan et al., 2024, "Muon: An optimizer for hidden layers in neural
    networks"), in steps as large as AdamW's (Liu et al., 2025, "Muon is scalable for LLM training"), and AdamW for all
    else. What is frozen is left out.

    Args:
        model: Whose weights it is to change.
        learning_rate: Of the kernels; that of all else is `OTHERS_RATE` of it.
        weight_decay: Of the kernels.
        has_bfloat16: Whether the device multiplies bfloat16 itself. Where it does not, that is half of a training step.
    """
    learned = [weight for weight in model.parameters() if weight.requires_grad]
    kernels = {
        "params": [weight for weight in learned if weight.ndim > 2],
        "use_muon": True,
        "use_adjusted_lr": True,
        "has_bfloat16": has_bfloat16,
        "lr": learning_rate,
        "weight_decay": weight_decay,
    }
    others = {
        "params": [weight for weight in learned if weight.ndim <= 2],
        "use_muon": False,
        "lr": OTHERS_RATE * learning_rate,
    }
    optimizer = DigitMuon([kernels, others])
    optimizer.defaults["lr"] = learning_rate  # which some schedules of transformers look up there
    return optimizer


class DigitMuon(Muon):
    """The library's Muon orthogonalises in bfloat16; this one does so in float32 unless a group says `has_bfloat16`."""

    @staticmethod
    def _orthogonalize(group: dict, updates: list[torch.Tensor]) -> list[torch.Tensor]:
        if group["has_bfloat16"]:
            return Muon._orthogonalize(group, updates)
        steps, weights, matrices = group["ns_steps"], group["ns_coeffs"], (update.flatten(1) for update in updates)
        return [zero_power_via_newton_schulz_5(each, steps, weights=weights, dtype=each.dtype) for each in matrices]


class BalancedSampler(torch.utils.data.WeightedRandomSampler):
    """
    Draws every label equally often; what has none of the labels keeps its share.

    Args:
        labels: (N,), indices or `NO_LABEL`.
        seed: The same seed draws the same pictures in the same epoch.
    """

    def __init__(self, labels: torch.Tensor, seed: int):
        has_label, weights = labels != NO_LABEL, torch.ones(len(labels), dtype=torch.double)
        counts = labels[has_label].bincount()
        weights[has_label] = (has_label.sum() / counts.count_nonzero() / counts)[labels[has_label]].double()
        super().__init__(weights, len(labels), generator=torch.Generator())
        self.seed = seed
        self.set_epoch(0)

    def set_epoch(self, epoch: int) -> None:
        self.generator.manual_seed(self.seed + epoch)


def _as_it_is(batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return batch  # the pictures come in batches already


class SeedPerProcess(TrainerCallback):
    """Among several processes each warps and writes on its own; with one seed all would make the same pages."""

    def on_train_begin(self, args, state, control, **kwargs):
        if args.process_index > 0:
            torch.manual_seed(args.seed + args.process_index)


class EarlyStopping(EarlyStoppingCallback):
    """Goes by the figure of one validation source, and lets those of the others pass."""

    def on_evaluate(self, args, state, control, metrics, **kwargs):
        if args.metric_for_best_model in metrics:
            super().on_evaluate(args, state, control, metrics, **kwargs)


def show_on_tensorboard(
    trainer: DigitTrainer, splits: dict[str, Dataset], scores: dict[str, torch.Tensor], count: int = 16
) -> None:
    """Beside the curves: synthetic pages with the ink that is found on them, and a confusion matrix of each source."""
    (callback,) = [each for each in trainer.callback_handler.callbacks if isinstance(each, TensorBoardCallback)]
    model, labels = trainer.model, list(trainer.model.config.id2label.values())
    frames = trainer.train_dataset.frames[-count:].to(trainer.args.device) / 255
    with torch.no_grad():
        pages = trainer.pages(frames).pages
        ink = model.ink(pages).sigmoid()
    with SummaryWriter(callback.logging_dir) as writer:
        writer.add_images("pages, and their ink", torch.cat([pages, ink], dim=2), trainer.state.global_step)
        for source, pictures in splits.items():
            figure = draw_confusion(scores[source].argmax(-1), pictures.labels, labels)
            writer.add_figure(f"confusion matrix/{source}", figure, trainer.state.global_step)


def average_weights(models: list[torch.nn.Module]) -> dict[str, torch.Tensor]:
    """
    The mean of every weight (Wortsman et al., 2022, "Model soups"). The statistics of batch normalisation are averaged
    too, and have to be measured anew.
    """
    states = [model.state_dict() for model in models]
    return {
        name: torch.stack([state[name].float() for state in states]).mean(0).to(value.dtype)
        for name, value in states[0].items()
    }


@torch.no_grad()
def use_average(trainer: DigitTrainer, models: list[torch.nn.Module], steps: int = 50) -> None:
    """Gives the trainer's model the mean of some models' weights, and measures its batch statistics in some steps."""
    set_seed(trainer.args.seed)  # a run that is taken up again at its end gives the same
    trainer.model.load_state_dict(average_weights(models))
    networks = [getattr(trainer.model, name) for name in NETWORKS if name not in trainer.freeze]
    modules = [module for network in networks for module in network.modules()]
    layers = [module for module in modules if isinstance(module, torch.nn.BatchNorm2d)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over the steps
    trainer.model.train()
    for _, inputs in zip(range(steps), trainer.get_train_dataloader()):
        trainer.compute_loss(trainer.model, trainer._prepare_inputs(inputs))
    for layer, momentum in zip(layers, momenta):
        layer.momentum = momentum
    trainer.model.eval()
