"""
What each part of the recipe buys, on pictures that nothing was trained on.

    python tests/ablation.py parts PHOTOS --mnist ... --custom_data ... --max_steps 300 --output_dir runs/ablation
    python tests/ablation.py hands CUSTOM_DIGITS --mnist ... --max_steps 300 --output_dir runs/ablation
    python tests/ablation.py looks PHOTOS NOT_DIGITS
    python tests/ablation.py votes NUMBERS...
    python tests/ablation.py rejection PHOTOS NOT_DIGITS

`parts` trains the same network several times, from the plainest recipe to the released one, each with one part more,
and reads the pictures with each. `hands` trains it on MNIST, and with more and more hands beside, and reads pictures of
writers it has never seen. `looks` has the shipped checkpoint look at pages in more and more sizes, and `rejection` asks
several ways for how sure it is at its first look; both tell how many of the pictures are answered, and right, where one
in a hundred of the others is answered too. `votes` has it look at collections of numbers in more and more sizes, and
leave out words at last, and tells how many are read without a mistake.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from pathlib import Path
from unittest.mock import patch

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np
import torch
from datasets import Dataset
from torch import nn
from transformers import HfArgumentParser, set_seed

from data_prep import (
    Augmentation,
    DataArguments,
    Pages,
    Pictures,
    Strings,
    by_source,
    draw_not_digits,
    merge,
    written_in_other_hands,
    written_on_a_tablet,
)
from digit_model import DigitForImageClassification, DigitImageClassificationPipeline, load_checkpoint, pipeline_digit
from digit_model.evaluation import predict
from digit_model.image_processing_digit import open_image
from digit_model.labelled_pictures import labelled_picture, load_labelled
from digit_model.modeling_digit import NO_LABEL
from digit_model.number_evaluation import measure_numbers, read_numbers
from digit_model.pipeline_digit import NumberReadingPipeline
from digit_model.trainer import DigitTrainer
from train import HANDS_SHARE, NOT_DIGITS_SHARE, TABLET_SHARE, DigitTrainingArguments, new_model


class BorderContrast(nn.Module):
    """Hand-made ink: how far each pixel stands out from the tone of the page's border."""

    def forward(self, pages: torch.Tensor) -> torch.Tensor:
        border = torch.cat([pages[:, :, 0], pages[:, :, -1], pages[..., 0], pages[..., -1]], dim=-1)
        contrast = (pages - border.median(dim=-1).values[..., None, None]).abs()
        share = contrast / contrast.amax((2, 3), keepdim=True).clamp(min=0.15)
        return share.clamp(1e-4, 1 - 1e-4).logit()


class PlainTrainer(DigitTrainer):
    """The classifier learns from plain frames alone, and the ink network, if there is one, from pages alone."""

    def _practice(self, inputs):
        practice = super()._practice(inputs)
        pages = len(practice["pixel_values"])
        practice["labels"][:pages] = -100
        return practice


def hand_made_ink(model: DigitForImageClassification) -> None:
    model.ink = BorderContrast()


def ink_apart(model: DigitForImageClassification) -> None:
    model.frame.register_forward_pre_hook(lambda _, arguments: (arguments[0].detach(),))


def as_released(model: DigitForImageClassification) -> None:
    pass


PARTS: dict[str, tuple[type[DigitTrainer], Callable[[DigitForImageClassification], None]]] = {
    "hand-made ink (contrast with the border)": (PlainTrainer, hand_made_ink),
    "+ ink network, trained on synthetic pages": (PlainTrainer, ink_apart),
    "+ classifier trained on frames as that network gives them": (DigitTrainer, ink_apart),
    "+ its loss reaches the ink network too": (DigitTrainer, as_released),
    "+ Muon instead of AdamW": (DigitTrainer, as_released),
}
ADAMW = {"muon": False, "learning_rate": 2e-3, "weight_decay": 0.02}


def parts(photos: str, data_args: DataArguments, args: DigitTrainingArguments) -> None:
    labels, training = training_pictures(data_args)
    rows = load_labelled(photos)
    print_head(photos, rows, args)
    for name, (trainer_class, change) in PARTS.items():
        own_args = deepcopy(args)
        for argument, value in ({} if "Muon" in name else ADAMW).items():
            setattr(own_args, argument, value)
        frozen = ["characters"] + ["ink"] * ("hand-made" in name)
        print_accuracy(name, rows, trained(labels, training, own_args, trainer_class, change, frozen))


def hands(collection: str, data_args: DataArguments, args: DigitTrainingArguments) -> None:
    labels, training = training_pictures(data_args)
    rows, count = load_labelled(collection), int((training.labels != NO_LABEL).sum())
    _, processor = new_model(labels)
    others = Pictures.none(processor)
    print_head(collection, rows, args)
    for name, share, written in (
        ("MNIST", 0, written_in_other_hands),
        ("+ digits drawn in other hands", HANDS_SHARE, written_in_other_hands),
        ("+ digits written on a tablet", TABLET_SHARE, written_on_a_tablet),
    ):
        others += Pictures.of_frames(*written(round(share * count), labels), processor)
        print_accuracy(name, rows, trained(labels, training, args, other_hands=others))


def training_pictures(data_args: DataArguments) -> tuple[list[str], Pictures]:
    """The labels, and the pictures as the recipe has them, with those of no label, but without other hands."""
    dataset = merge(data_args, say=lambda _: None)["train"]
    labels, count = dataset.features["label"].names, round(NOT_DIGITS_SHARE * len(dataset))
    _, processor = new_model(labels)
    others = Pictures.of_frames(*draw_not_digits(count, labels), processor)
    return labels, sum(by_source(dataset, processor).values(), start=others)


def trained(
    labels: list[str],
    training: Pictures,
    args: DigitTrainingArguments,
    trainer_class: type[DigitTrainer] = DigitTrainer,
    change: Callable[[DigitForImageClassification], None] = as_released,
    freeze: Sequence[str] = ("characters",),
    other_hands: Pictures | None = None,
) -> DigitImageClassificationPipeline:
    set_seed(args.seed)
    model, processor = new_model(labels)
    change(model)
    trainer_class(
        model=model.to(memory_format=torch.channels_last),
        args=args,
        augmentation=Augmentation(),
        pages=Pages(),
        strings=Strings(),
        freeze=list(freeze),
        other_hands=other_hands,
        train_dataset=training,
        processing_class=processor,
    ).train()
    return DigitImageClassificationPipeline(model=model.eval(), image_processor=processor)


def print_head(source: str, rows: Dataset, args: DigitTrainingArguments) -> None:
    length = f"{args.max_steps:,} steps" if args.max_steps > 0 else f"{args.num_train_epochs:g} epochs"
    print(f"| {length} each, seed {args.seed} | {Path(source).stem}, n = {len(rows):,} |\n|---|---|")


def print_accuracy(name: str, rows: Dataset, classifier: DigitImageClassificationPipeline) -> None:
    table = predict(classifier, rows)
    print(f"| {name} | {(table['answer'] == table['label']).mean():.1%} |", flush=True)


def in_more_sizes(model: DigitForImageClassification) -> Iterator[str]:
    """What the model does from now on, where a first look is not sure."""
    scales = model.config.look_scales
    for name, model.config.look_scales in (
        ("one", []),
        ("a larger one where that is not sure", [max(scales)]),
        ("a smaller one too", [min(scales), max(scales)]),
        ("all", scales),
    ):
        yield name


def looks(photos: str, others: str) -> None:
    model, processor = load_checkpoint()
    classifier = DigitImageClassificationPipeline(model=model, image_processor=processor)
    print("| looks at a page | accuracy | answered | of these right |\n|---|---|---|---|")
    for name in in_more_sizes(model):
        read, not_read = (predict(classifier, load_labelled(source)) for source in (photos, others))
        is_right, is_answered = read["answer"] == read["label"], read["score"] > not_read["score"].quantile(0.99)
        shares = (is_right, is_answered, is_right[is_answered])
        print(f"| {name} |", " | ".join(f"{share.mean():.2%}" for share in shares), "|", flush=True)


def votes(*collections: str) -> None:
    model, processor = load_checkpoint()
    reader = NumberReadingPipeline(model=model, image_processor=processor)
    numbers = {f"{Path(each).stem}, n = {len(rows):,}": rows for each in collections for rows in [load_labelled(each)]}

    def print_row(name: str) -> None:
        exact = [measure_numbers(read_numbers(reader, rows))["exact_match"] for rows in numbers.values()]
        print(f"| {name} |", " | ".join(f"{share:.2%}" for share in exact), "|", flush=True)

    print("| looks at a number |", " | ".join(numbers), "|\n|---" + "|---" * len(numbers) + "|")
    with patch.object(pipeline_digit, "without_words", lambda *reading: reading[:2]):
        for name in in_more_sizes(model):
            print_row(name)
    print_row("all, and words are left out")


def agreement(model: DigitForImageClassification, frames: torch.Tensor) -> torch.Tensor:
    """The top score of the mean over nine small shifts of each frame."""
    shifts = [(row, column) for row in (-1, 0, 1) for column in (-1, 0, 1)]
    return torch.stack([model(frames.roll(shift, (2, 3))).logits.softmax(1) for shift in shifts]).mean(0).amax(1)


SURENESS: dict[str, Callable[[DigitForImageClassification, torch.Tensor], torch.Tensor]] = {
    "top score": lambda model, frames: model(frames).logits.softmax(1).amax(1),
    "energy of the labels' outputs": lambda model, frames: model.classifier(frames)[:, :-1].logsumexp(1),
    "output for no label": lambda model, frames: -model.classifier(frames).softmax(1)[:, -1],
    "margin to the second": lambda model, frames: -model(frames).logits.softmax(1).topk(2)[0].diff(dim=1)[:, 0],
    "top score over nine shifts": agreement,
}


@torch.inference_mode()
def rejection(photos: str, others: str) -> None:
    model, processor = load_checkpoint()

    def frames_of(source: str) -> tuple[torch.Tensor, list[str]]:
        pictures = [labelled_picture(rows, number) for rows in [load_labelled(source)] for number in range(len(rows))]
        pages = [processor(open_image(each.source), return_tensors="pt")["pixel_values"][0] for each in pictures]
        parts = [model.to_frames(pages[start : start + 100]) for start in range(0, len(pages), 100)]
        return torch.cat(parts), [each.label for each in pictures]

    (frames, labels), (other_frames, _) = frames_of(photos), frames_of(others)
    answers = model(frames).logits.argmax(1).tolist()
    is_right = np.array([model.config.id2label[answer] == label for answer, label in zip(answers, labels)])
    print("| how sure | answered | of these right |\n|---|---|---|")
    for name, sureness in SURENESS.items():
        threshold = np.quantile(sureness(model, other_frames).numpy(), 0.99)
        is_answered = sureness(model, frames).numpy() > threshold
        print(f"| {name} | {is_answered.mean():.1%} | {is_right[is_answered].mean():.1%} |")


def main() -> None:
    command, pictures = sys.argv[1], sys.argv[2]
    if command in ("looks", "votes", "rejection"):
        return {"looks": looks, "votes": votes, "rejection": rejection}[command](pictures, *sys.argv[3:])
    defaults = ["--eval_strategy", "no", "--save_strategy", "no", "--disable_tqdm", "True", "--logging_strategy", "no"]
    parser = HfArgumentParser((DataArguments, DigitTrainingArguments))
    {"parts": parts, "hands": hands}[command](pictures, *parser.parse_args_into_dataclasses([*defaults, *sys.argv[3:]]))


if __name__ == "__main__":
    main()
