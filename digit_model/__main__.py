"""
A digit model on the command line.

    python -m digit_model evaluate my_photos/ --report report/
"""

import argparse
import json
import sys
from pathlib import Path

from .checkpoint import PRETRAINED, CheckpointError, load_checkpoint
from .evaluation import DigitMetrics, figures_row, figures_table, predict, summarize
from .labelled_pictures import DatasetError, load_labelled
from .model_card import model_card
from .pipeline_digit import DigitImageClassificationPipeline
from .report import write_report


def evaluate(args: argparse.Namespace) -> None:
    """Measures a model on labelled pictures, dataset by dataset."""
    if args.update_card and not Path(args.model, "results.json").exists():
        raise CheckpointError(f"{args.model} has no results.json to add to; name a folder that train.py has written.")
    model, processor = load_checkpoint(args.model)
    classifier = DigitImageClassificationPipeline(model=model, image_processor=processor, device=args.device)
    metrics, measured = DigitMetrics(list(model.config.id2label.values())), {}
    for dataset in args.datasets:
        rows = load_labelled(dataset, args.split)
        name = Path(dataset).name
        table = predict(classifier, rows, args.batch_size)
        measured[name] = summarize(table, metrics, model.config.rejection_threshold)
        for sentence in table.loc[table["error"] != "", "error"]:
            print(sentence, file=sys.stderr)
        if measured[name]["n_others"]:
            strangers = sorted(table.loc[~table["is_known"], "label"].unique())
            print(f"{name}: pictures labelled {', '.join(strangers)} count as showing none of the model's labels.")
        if args.report:
            folder = Path(args.report, name) if len(args.datasets) > 1 else Path(args.report)
            write_report(folder, name, table, figures_row(measured[name]), rows, classifier)
            print(f"Report: {folder / 'index.html'}")
    print(figures_table(measured))
    if args.json:
        Path(args.json).write_text(json.dumps(measured, indent=2) + "\n")
    if args.update_card:
        add_to_card(Path(args.model), measured)


def add_to_card(checkpoint: Path, measured: dict[str, dict]) -> None:
    """Keeps the figures with a checkpoint, in its results and in its model card."""
    results = json.loads((checkpoint / "results.json").read_text())
    results["evaluation"] = results.get("evaluation", {}) | measured
    (checkpoint / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    model_card(results).save(checkpoint / "README.md")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m digit_model", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("evaluate", help="measure a model on labelled pictures", description=evaluate.__doc__)
    command.add_argument(
        "datasets",
        nargs="+",
        metavar="DATASET",
        help="an image folder or a ZIP of one (<label>/<name>.png), a folder with a metadata.jsonl, a parquet file, or "
        "a dataset on the Hub; pictures whose label the model does not have count as showing no digit",
    )
    command.add_argument("--model", default=PRETRAINED, help="a folder or an id on the Hub; the shipped one if none")
    command.add_argument("--split", help="which split of a dataset that has several; test if none")
    command.add_argument("--report", metavar="DIR", help="write a page with plots and mistakes, and predictions.csv")
    command.add_argument("--json", metavar="FILE", help="write the figures")
    command.add_argument("--update_card", action="store_true", help="add the figures to the card of a model's folder")
    command.add_argument("--batch_size", type=int, default=32, help="pictures a step")
    command.add_argument("--device", help="cpu, cuda:0 and so on; the fastest there is if none")
    command.set_defaults(run=evaluate)
    args = parser.parse_args()
    try:
        args.run(args)
    except (CheckpointError, DatasetError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
