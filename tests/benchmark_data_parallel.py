"""
Training in two processes against training in one with the same recipe and total batch.

    python tests/benchmark_data_parallel.py --mnist FOLDER [--max_steps 300] [--seeds 1 2 3]

Prints the accuracy on the validation pictures of each run, and exits with 1 where the two means are further apart than
chance explains: twice the standard error of their difference.
"""

import argparse
import json
import math
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import mean, stdev

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from train import DigitTrainingArguments

SHARED = ("per_device_train_batch_size", "pages_per_step", "strings_per_step")  # among the processes


def accuracy(processes: int, mnist: str, steps: int, seed: int, output: Path) -> float:
    """On synthetic pages of the validation digits."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", processes, "train.py"]
    command += ["--mnist", mnist, "--max_steps", steps, "--seed", seed, "--output_dir", output, "--eval_strategy", "no"]
    command += ["--disable_tqdm", "True", "--save_strategy", "no"]
    for name in SHARED:
        command += [f"--{name}", getattr(DigitTrainingArguments, name) // processes]
    subprocess.run(list(map(str, command)), cwd=ROOT, check=True, capture_output=True)
    return json.loads((output / "results.json").read_text())["validation"]["pages"]["accuracy"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", default=str(ROOT / "tests" / "data" / "mnist"))
    parser.add_argument("--max_steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    args = parser.parse_args()
    measured = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as scratch:
        for seed in args.seeds:
            for processes, accuracies in measured.items():
                output = Path(scratch, f"{processes}-{seed}")
                accuracies.append(accuracy(processes, args.mnist, args.max_steps, seed, output))
                print(f"seed {seed}, {processes} process(es): {accuracies[-1]:.2%}", flush=True)
    one, two = measured.values()
    noise = 2 * math.sqrt((stdev(one) ** 2 + stdev(two) ** 2) / len(one))
    print(f"one process {mean(one):.2%} ± {stdev(one):.2%}, two {mean(two):.2%} ± {stdev(two):.2%}")
    sys.exit(abs(mean(one) - mean(two)) > noise)


if __name__ == "__main__":
    main()
