"""
What there is to train on, without training.

    python -m data_prep --custom_data my_photos/
"""

import sys
from dataclasses import dataclass, field

from huggingface_hub.utils import httpx
from transformers import HfArgumentParser

from .contact_sheet import dataset_sheet
from .errors import first_line
from .hub import push_to_hub
from .merge import DataArguments, count_table, merge


@dataclass
class CommandArguments:
    """What to do with the pictures."""

    contact_sheet: str = field(default="contact_sheet.png", metadata={"help": "Where the contact sheet is written."})
    push_to_hub: bool = field(default=False, metadata={"help": "Publish the merged dataset with a card."})
    hub_dataset_id: str = field(
        default="handwritten-digits", metadata={"help": "Its name on the Hub, with or without the owner."}
    )


def main() -> None:
    parser = HfArgumentParser((DataArguments, CommandArguments), prog="python -m data_prep", description=__doc__)
    try:
        data_args, args = parser.parse_args_into_dataclasses()
        dataset = merge(data_args)
        print(count_table(dataset).to_string())
        dataset_sheet(dataset).save(args.contact_sheet)
        print(f"Contact sheet: {args.contact_sheet}")
        if args.push_to_hub:
            print(f"Published: {push_to_hub(dataset, args.hub_dataset_id)}")
    except ValueError as error:  # a DataError, or a flag that is unknown or out of range
        sys.exit(f"error: {error}")
    except (OSError, httpx.HTTPError) as error:  # no network, no token, no right to write
        sys.exit(f"error: {first_line(error)}.")


if __name__ == "__main__":
    main()
