"""
A digit model on the command line.

    python -m digit_model read scans/ --csv numbers.csv
    python -m digit_model evaluate my_photos/ --report report/
    python -m digit_model export digits.onnx
"""

import argparse
import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
import transformers
from tqdm.auto import tqdm

from . import onnx_runtime
from .checkpoint import PRETRAINED, load_checkpoint
from .errors import CheckpointError, DatasetError, ReaderError, first_line
from .evaluation import figures_row, figures_table
from .folders import find_pictures
from .labelled_pictures import load_labelled
from .model_card import model_card
from .number_evaluation import number_row
from .pipeline_digit import PIPELINES
from .reader import COLUMNS, NumberReader, default_processes, read_in_processes, trim_table
from .report import evaluate_digits, evaluate_numbers


class Task(NamedTuple):
    """
    Attributes:
        measure: Pictures -> figures.
        to_row: Figures -> a row of the table that is printed.
        part: Of a checkpoint's results, where they are kept.
    """

    measure: Callable[..., dict]
    to_row: Callable[[dict], dict[str, str]]
    part: str


TASKS = {
    "image-classification": Task(evaluate_digits, figures_row, "evaluation"),
    "number-reading": Task(evaluate_numbers, number_row, "numbers"),
}


def read(args: argparse.Namespace) -> None:
    """Reads the numbers on pictures, a row a picture: file, text, score and, where it could not be read, the error."""
    files = find_pictures(args.pictures)
    target = Path(args.csv) if args.csv else None
    if args.resume and not target:
        raise ReaderError("--resume goes on after the rows of a file: name it with --csv.")
    if target and target.is_dir():
        raise ReaderError(f"{target} is a folder: name a file in it for the rows.")
    if target and target.exists() and not target.is_file():
        raise ReaderError(f"{target} is no file for rows: leave --csv out, and send what is printed there.")
    if target and not target.absolute().parent.is_dir():
        raise ReaderError(f"There is no folder for {target}: make it first, or name another file.")
    if target and target.exists() and not args.resume:
        raise ReaderError(f"{target} exists: pass --resume to go on after its rows, or name another file.")
    rows_there = trim_table(target, files) if target else []
    there, unreadable = len(rows_there), sum(row["error"] != "" for row in rows_there)
    transformers.logging.disable_progress_bar()
    load_checkpoint(args.model)  # so that a missing one is said before any process starts
    reader = NumberReader(args.model, args.device, args.batch_size, backend=args.backend)
    files_left = files[there:]
    processes = args.num_proc or default_processes(files_left, reader.device)
    if processes > 1:
        rows = read_in_processes(reader, files_left, processes)
    else:
        rows = reader.read(zip(files_left, files_left))
    # a file's name may be no text in UTF-8, and on Windows every line would get a second end
    sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape", newline="")
    table = target.open("a", newline="", encoding="utf-8", errors="surrogateescape") if target else sys.stdout
    writer = csv.DictWriter(table, COLUMNS)
    if there == 0:
        writer.writeheader()
    kept = "The rows so far are kept" + ("; --resume goes on after them." if target else ".")
    try:
        for row in tqdm(rows, total=len(files), initial=there, unit="picture", disable=args.quiet):
            writer.writerow(row)
            table.flush()
            unreadable += row["error"] != ""
    except KeyboardInterrupt:
        sys.exit(f"Stopped. {kept}")
    except ReaderError as error:
        sys.exit(f"error: {error} {kept}")
    if unreadable:
        sys.exit(f"{unreadable} of {len(files)} pictures could not be read; their rows say why.")


def export(args: argparse.Namespace) -> None:
    """Writes a model as one ONNX file, page -> scores."""
    model, _ = load_checkpoint(args.model)
    onnx_runtime.export(model, args.file)
    print(f"ONNX file: {args.file}")


def evaluate(args: argparse.Namespace) -> None:
    """Measures a model on labelled pictures, dataset by dataset."""
    if args.update_card and not Path(args.model, "results.json").exists():
        raise CheckpointError(f"{args.model} has no results.json to add to; name a folder that train.py has written.")
    if args.json and (Path(args.json).is_dir() or not Path(args.json).absolute().parent.is_dir()):
        raise DatasetError(f"{args.json} cannot be a file: make its folder first, or name another file.")
    if args.report:
        Path(args.report).mkdir(parents=True, exist_ok=True)  # before anything is measured for it
    model, processor = load_checkpoint(args.model)
    reader = PIPELINES[args.task](model=model, image_processor=processor, device=args.device)
    task, measured, names = TASKS[args.task], {}, [_name_of(dataset) for dataset in args.datasets]
    loaded = [load_labelled(dataset, args.split) for dataset in args.datasets]  # a wrong one is said before any is read
    for dataset, name, rows in zip(args.datasets, names, loaded):
        name = dataset if names.count(name) > 1 else name
        folder = Path(args.report or "", name.strip("./").replace("/", "_") if len(args.datasets) > 1 else "")
        measured[name] = task.measure(name, rows, reader, args.batch_size, folder if args.report else None)
        if args.report:
            print(f"Report: {folder / 'index.html'}")
    print(figures_table(measured, task.to_row))
    if args.json:
        Path(args.json).write_text(json.dumps(measured, indent=2) + "\n")
    if args.update_card:
        add_to_card(Path(args.model), task.part, measured)


def _name_of(dataset: str) -> str:
    path = Path(dataset)
    return (path.resolve() if path.exists() else path).name


def add_to_card(checkpoint: Path, part: str, measured: dict[str, dict]) -> None:
    """Keeps the figures with a checkpoint, in its results and in its model card."""
    results = json.loads((checkpoint / "results.json").read_text())
    results[part] = results.get(part, {}) | measured
    (checkpoint / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    model_card(results, results.get("model_id")).save(checkpoint / "README.md")


def positive(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return int(text)


def device(name: str) -> str:
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:
        raise argparse.ArgumentTypeError(f"{name} cannot be used ({first_line(error)})") from None
    return name


def add_model_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", default=PRETRAINED, help="a folder or an id on the Hub; the shipped one if none")
    command.add_argument("--batch_size", type=positive, default=32, help="pictures a step")
    command.add_argument("--device", type=device, help="cpu, cuda:0 and so on; the fastest there is if none")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m digit_model", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = commands.add_parser("read", help="read the numbers on pictures", description=read.__doc__)
    command.add_argument("pictures", nargs="+", metavar="PICTURE", help="files, or folders of them")
    command.add_argument("--csv", metavar="FILE", help="write the rows there instead of printing them")
    command.add_argument("--resume", action="store_true", help="go on after the rows that the file has")
    command.add_argument(
        "--num_proc", type=positive, help="processes that read side by side; as many as pay if none, up to every CPU"
    )
    command.add_argument("--backend", choices=["torch", "onnx"], default="torch", help="what runs the networks")
    command.add_argument("--quiet", action="store_true", help="show no progress bar")
    add_model_arguments(command)
    command.set_defaults(run=read)

    command = commands.add_parser("evaluate", help="measure a model on labelled pictures", description=evaluate.__doc__)
    command.add_argument(
        "datasets",
        nargs="+",
        metavar="DATASET",
        help="an image folder or a ZIP of one (<label>/<name>.png, or with a metadata.jsonl), a parquet file, or "
        "a dataset on the Hub; pictures whose label the model does not have count as showing no digit",
    )
    command.add_argument("--task", choices=TASKS, default="image-classification", help="one digit, or whole numbers")
    command.add_argument("--split", help="which split of a dataset that has several; test if none")
    command.add_argument("--report", metavar="DIR", help="write a page with plots and mistakes, and predictions.csv")
    command.add_argument("--json", metavar="FILE", help="write the figures")
    command.add_argument("--update_card", action="store_true", help="add the figures to the card of a model's folder")
    add_model_arguments(command)
    command.set_defaults(run=evaluate)

    command = commands.add_parser("export", help="write a model for ONNX Runtime", description=export.__doc__)
    command.add_argument("file", metavar="FILE", help="the ONNX file to write")
    command.add_argument("--model", default=PRETRAINED, help="a folder or an id on the Hub; the shipped one if none")
    command.set_defaults(run=export)

    args = parser.parse_args()
    try:
        args.run(args)
    except (CheckpointError, DatasetError, ReaderError, OSError) as error:  # a folder that is missing, a full disk
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
