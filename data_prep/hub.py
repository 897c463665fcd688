"""The merged pictures on the Hub, with a card that says what they are."""

import time
from collections.abc import Callable
from typing import TypeVar

from datasets import DatasetDict
from huggingface_hub import DatasetCard, DatasetCardData, HfApi
from huggingface_hub.errors import HfHubHTTPError

from .errors import first_line
from .merge import DataArguments, count_table
from .mnist import LABELS

T = TypeVar("T")
BUSY = (429, 500, 502, 503, 504)
LONGEST_WAIT = 60  # seconds between two attempts


def dataset_card(dataset: DatasetDict, args: DataArguments) -> DatasetCard:
    """A card whose figures are counted from the dataset itself; the arguments it came from know the licences."""
    licenses = {source: args.license_of(source) for source in dataset["train"].unique("source")}
    labels, has_mnist = dataset["train"].features["label"].names, "mnist" in licenses
    are_digits = set(labels) <= set(LABELS)
    name = "Handwritten digits, merged" if are_digits else "Handwriting, merged"
    data = DatasetCardData(
        pretty_name=name,
        license=sorted({name for name in licenses.values() if name}) or None,
        task_categories=["image-classification"],
        tags=["handwriting", *["digits"] * are_digits, *["mnist"] * has_mnist],
    )
    sources = ", ".join(f"`{source}` ({name or 'licence not stated'})" for source, name in licenses.items())
    equal = "No custom picture equals a picture of MNIST, and none" if has_mnist else "No picture"
    test = "is MNIST's own" if has_mnist else "is that of the sources, or held out as the validation split is"
    credit = "\nMNIST: Y. LeCun, C. Cortes and C. Burges, http://yann.lecun.com/exdb/mnist/.\n" if has_mnist else ""
    text = f"""# {name}

{sum(map(len, dataset.values())):,} pictures of {len(labels)} labels ({", ".join(labels)}), merged from
{sources}. {equal} is here twice.

Columns: `image`, `label`, `source`, and `writer` (empty where unknown). Where a source knows several writers, none of
its validation split is in the training split, unless one of them wrote nearly all. The test split {test}.

```
{count_table(dataset).to_string()}
```
{credit}"""
    return DatasetCard(f"---\n{data.to_yaml()}\n---\n\n{text}")


def push_to_hub(dataset: DatasetDict, args: DataArguments, repo_id: str) -> str:
    """
    Publishes the dataset with its card.

    Args:
        dataset: What `merge` gives.
        args: What it was merged from.
        repo_id: "name" or "owner/name"; it is created if it does not exist.

    Returns:
        The address of the dataset's page.
    """
    url = HfApi().create_repo(repo_id, repo_type="dataset", exist_ok=True)
    patiently(lambda: dataset_card(dataset, args).push_to_hub(url.repo_id, repo_type="dataset"))
    patiently(lambda: dataset.push_to_hub(url.repo_id))  # adds the schema and the splits to the card's head
    return str(url)


def patiently(push: Callable[[], T], attempts: int = 5) -> T:
    """
    Pushes, and again where the Hub is too busy: its client repeats the upload of files, but not of commits.

    Raises:
        OSError: If the connection is lost, or the Hub refuses.
    """
    for attempt in range(attempts):
        try:
            return push()
        except RuntimeError as error:  # the client's, for a file that did not get through
            raise OSError(first_line(error)) from error
        except HfHubHTTPError as error:
            if error.response.status_code not in BUSY or attempt == attempts - 1:
                raise
            asked = error.response.headers.get("Retry-After", "")  # it may be a date as well
            time.sleep(min(int(asked) if asked.isdecimal() else 2**attempt, LONGEST_WAIT))
