"""
What there is to train on, without training.

    python -m data_prep --custom_data my_photos/       # counts and shows the pictures
    python -m data_prep pages                          # shows synthetic pages made of them
    python -m data_prep numbers                        # writes pictures of synthetic numbers with their text
    python -m data_prep nothing                        # writes pictures with nothing to read
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

from huggingface_hub.utils import httpx
from transformers import HfArgumentParser

from .contact_sheet import dataset_sheet, pages_sheet
from .errors import DataError, first_line
from .hub import push_to_hub
from .merge import DataArguments, count_table, merge
from .nothing import KINDS, write_nothing
from .numbers import write_numbers
from .pictures import frames_of


@dataclass
class CommandArguments:
    """What to do with the pictures."""

    contact_sheet: str = field(default="contact_sheet.png", metadata={"help": "Where the contact sheet is written."})
    push_to_hub: bool = field(default=False, metadata={"help": "Publish the merged dataset with a card."})
    hub_dataset_id: str = field(
        default="handwritten-digits", metadata={"help": "Name of the dataset on the Hub, with or without the owner."}
    )


@dataclass
class PagesArguments:
    """What to show of the synthetic pages."""

    contact_sheet: str = field(default="pages.png", metadata={"help": "Where the contact sheet is written."})
    seed: int = field(default=0, metadata={"help": "Another one shows other pages."})


@dataclass
class NumbersArguments:
    """Which synthetic numbers to write."""

    output_dir: str = field(default="numbers", metadata={"help": "Gets the folders apart, touching, forms and sheets."})
    count: int = field(
        default=1000,
        metadata={"help": "How many, of one to ten digits; half as many in forms, and a fifth as many sheets of them."},
    )
    split: str = field(default="test", metadata={"help": "Whose digits.", "choices": ["train", "validation", "test"]})
    seed: int = field(default=0, metadata={"help": "Another one writes other numbers."})

    def __post_init__(self):
        _check(self.count, self.output_dir)


@dataclass
class NothingArguments:
    """Which pictures of nothing to write."""

    output_dir: str = field(default="nothing", metadata={"help": "Gets the folders blank, noise and scribble."})
    count: int = field(default=300, metadata={"help": "How many of each."})
    seed: int = field(default=5, metadata={"help": "Another one draws others."})

    def __post_init__(self):
        _check(self.count, self.output_dir)


def _check(count: int, folder: str) -> None:
    if count < 1:
        raise DataError(f"--count is how many there are to be: pass 1 or more, not {count}.")
    if any(Path(folder).glob("*/*")):
        raise DataError(f"{folder} holds pictures already, to be mixed with no others: name another --output_dir.")


def prepare(data_args: DataArguments, args: CommandArguments) -> None:
    """Counts the pictures, shows some of them, and publishes them."""
    dataset = merge(data_args)
    print(count_table(dataset).to_string())
    dataset_sheet(dataset).save(args.contact_sheet)
    print(f"Contact sheet: {args.contact_sheet}")
    if args.push_to_hub:
        print(f"Published: {push_to_hub(dataset, data_args, args.hub_dataset_id)}")


def pages(data_args: DataArguments, args: PagesArguments) -> None:
    """Shows synthetic pages, each above the ink that the model is to find on it."""
    pages_sheet(merge(data_args), args.seed).save(args.contact_sheet)
    print(f"Contact sheet: {args.contact_sheet}")


def numbers(data_args: DataArguments, args: NumbersArguments) -> None:
    """Writes pictures of numbers whose digits touch, of others, and of ones in forms, a folder of each."""
    rows = merge(data_args)[args.split]
    folders = write_numbers(*frames_of(rows), args.count, Path(args.output_dir), args.seed)
    print(f"Numbers: {', '.join(map(str, folders))}")


def nothing(args: NothingArguments) -> None:
    """Writes pictures of blank paper, noise and scribbles, a folder of each."""
    write_nothing(args.count, Path(args.output_dir), args.seed)
    print(f"Pictures: {', '.join(f'{args.output_dir}/{kind}' for kind in KINDS)}")


COMMANDS = {
    "pages": (pages, [DataArguments, PagesArguments]),
    "numbers": (numbers, [DataArguments, NumbersArguments]),
    "nothing": (nothing, [NothingArguments]),
}


def main() -> None:
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    command, arguments = COMMANDS.get(name, (prepare, [DataArguments, CommandArguments]))
    if command is not prepare:
        del sys.argv[1]
    parser = HfArgumentParser(arguments, prog="python -m data_prep", description=__doc__)
    try:
        command(*parser.parse_args_into_dataclasses())
    except ValueError as error:  # a DataError, or a flag that is unknown or out of range
        sys.exit(f"error: {error}")
    except (OSError, httpx.HTTPError) as error:  # no network, no token, no right to write
        sys.exit(f"error: {first_line(error)}.")


if __name__ == "__main__":
    main()
