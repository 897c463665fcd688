"""
Training throughput of train.py against a bare PyTorch loop of the same networks, pages and augmentation, in one run.

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

from data_prep import Augmentation, DataArguments, Pages, Pictures, merge, not_digits, to_pictures
from digit_model.modeling_digit import NO_LABEL
from digit_model.trainer import SMALL_PAGE, muon
from train import NOT_DIGITS_SHARE, DigitTrainingArguments, new_model

STEPS = 84
REPEATS = 3


def copies_of_the_sample(folder: Path, copies: int = 20) -> None:
    """Writes the shipped sample, its training digits often enough to fill some batches."""
    for split, rows in load_dataset(str(ROOT / "tests" / "data" / "mnist")).items():
        rows = concatenate_datasets([rows] * (copies if split == "train" else 1))
        rows.to_parquet(folder / f"{split}-00000-of-00001.parquet")


def bare_loop(mnist: Path, args: DigitTrainingArguments) -> float:
    """Steps a second."""
    rows = merge(DataArguments(mnist=str(mnist)), say=lambda _: None)["train"]
    labels = rows.features["label"].names
    model, processor = new_model(labels)
    count = round(NOT_DIGITS_SHARE * len(rows))
    others = Pictures.of_frames(not_digits(count, labels), torch.full((count,), NO_LABEL), processor)
    data = to_pictures(rows, processor) + others
    optimizer = muon(model, args.learning_rate, args.weight_decay)
    augmentation, size = Augmentation(), args.per_device_train_batch_size
    model.to(memory_format=torch.channels_last).train()
    batches = iter(())
    start = time.perf_counter()
    for step in range(STEPS):
        chosen = next(batches, None)
        if chosen is None:
            batches = iter(torch.randperm(len(data)).split(size))
            chosen = next(batches)
        frames, labels = augmentation(data.frames[chosen].float() / 255), data.labels[chosen]
        batch = Pages(SMALL_PAGE if step < STEPS / 2 else Pages.size)(frames[: args.pages_per_step])
        labels = torch.cat([labels[: args.pages_per_step].where(batch.is_single, -100), labels])
        model(batch.pages, frames=frames, labels=labels, ink_labels=batch.ink).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return STEPS / (time.perf_counter() - start)


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
            loops.append(bare_loop(mnist, args))
            trainers.append(through_train_py(mnist, Path(scratch) / str(repeat)))
            print(f"bare loop {loops[-1]:.2f} steps/s, train.py {trainers[-1]:.2f} steps/s", flush=True)
    ratio = max(trainers) / max(loops)
    print(f"ratio of the best of {REPEATS}: {ratio:.2f}")
    sys.exit(ratio < 0.8)


if __name__ == "__main__":
    main()
