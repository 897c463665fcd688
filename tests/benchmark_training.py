"""
Training throughput of train.py against a bare PyTorch loop of the same networks, pages, numbers and augmentation, in
one run, and which share of a step it takes to make those pages and numbers.

    python tests/benchmark_training.py

Prints steps per second of both and their ratio; exits with 1 where train.py reaches less than 0.8 of the loop.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import torch
from datasets import concatenate_datasets, load_dataset

from data_prep import Augmentation, DataArguments, Pages, Pictures, Strings, draw_not_digits, merge, to_pictures
from digit_model.trainer import CHARACTERS_PER_STRING, SMALL_PAGE, muon
from train import NOT_DIGITS_SHARE, DigitTrainingArguments, new_model

STEPS = 84
REPEATS = 3


def copies_of_the_sample(folder: Path, copies: int = 20) -> None:
    """Writes the shipped sample, its training digits often enough to fill some batches."""
    for split, rows in load_dataset(str(ROOT / "tests" / "data" / "mnist")).items():
        rows = concatenate_datasets([rows] * (copies if split == "train" else 1))
        rows.to_parquet(folder / f"{split}-00000-of-00001.parquet")


def bare_loop(mnist: Path, args: DigitTrainingArguments) -> tuple[float, float]:
    """Steps a second, and which share of the time pages and numbers take."""
    rows = merge(DataArguments(mnist=str(mnist)), say=lambda _: None)["train"]
    labels = rows.features["label"].names
    model, processor = new_model(labels)
    count = round(NOT_DIGITS_SHARE * len(rows))
    others = Pictures.of_frames(*draw_not_digits(count, labels), processor)
    data = to_pictures(rows, processor) + others
    optimizer = muon(model, args.learning_rate, args.weight_decay)
    augmentation, strings, size = Augmentation(), Strings(), args.per_device_train_batch_size
    model.to(memory_format=torch.channels_last).train()
    batches, making = iter(()), 0.0
    start = time.perf_counter()
    for step in range(STEPS):
        chosen = next(batches, None)
        if chosen is None:
            batches = iter(torch.randperm(len(data)).split(size))
            chosen = next(batches)
        frames, labels = augmentation(data.frames[chosen].float() / 255), data.labels[chosen]
        begin = time.perf_counter()
        batch = Pages(SMALL_PAGE if step < STEPS / 2 else Pages.size)(frames[: args.pages_per_step])
        numbers = strings(frames, args.strings_per_step)
        making += time.perf_counter() - begin
        count = CHARACTERS_PER_STRING * args.strings_per_step
        written = numbers.frames[:count]
        on_pages = labels[: args.pages_per_step].where(batch.is_single, -100)
        model(
            batch.pages,
            frames=frames,
            labels=torch.cat([on_pages, labels, labels[written.clamp(min=0)].where(written >= 0, -100)]),
            ink_targets=batch.ink,
            strings=numbers.ink,
            character_targets=numbers.owner,
            character_pairs=numbers.characters[:count, [0, 1, 1]],
            letter_targets=(written < 0).long(),
        ).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    seconds = time.perf_counter() - start
    return STEPS / seconds, making / seconds


def through_train_py(mnist: Path, output: Path) -> float:
    """Steps a second."""
    command = [sys.executable, "train.py", "--mnist", mnist, "--output_dir", output, "--max_steps", STEPS]
    command += ["--eval_strategy", "no", "--save_strategy", "no", "--disable_tqdm", "True"]
    subprocess.run(list(map(str, command)), cwd=ROOT, check=True, capture_output=True)
    results = json.loads((output / "results.json").read_text())
    return STEPS / (results["runs"][-1]["train_minutes"] * 60)


def main() -> None:
    loops, trainers = [], []
    with tempfile.TemporaryDirectory() as scratch:
        mnist = Path(scratch) / "mnist"
        mnist.mkdir()
        copies_of_the_sample(mnist)
        args = DigitTrainingArguments(output_dir=scratch)
        for repeat in range(REPEATS):  # in turns, so that both meet the same noise
            loop, making = bare_loop(mnist, args)
            loops.append(loop)
            trainers.append(through_train_py(mnist, Path(scratch) / str(repeat)))
            print(
                f"bare loop {loop:.2f} steps/s, {making:.0%} of it for pages and numbers; "
                f"train.py {trainers[-1]:.2f} steps/s"
            )
    ratio = max(trainers) / max(loops)
    print(f"ratio of the best of {REPEATS}: {ratio:.2f}")
    sys.exit(ratio < 0.8)


if __name__ == "__main__":
    main()
