"""The merged pictures on the Hub, with a card that says what they are."""

from datasets import DatasetDict
from huggingface_hub import DatasetCard, DatasetCardData, HfApi

from .merge import count_table


def dataset_card(dataset: DatasetDict) -> DatasetCard:
    """A card whose figures are counted from the dataset itself."""
    data = DatasetCardData(
        pretty_name="Handwritten digits, merged",
        task_categories=["image-classification"],
        tags=["handwriting", "digits", "mnist"],
        annotations_creators=["expert-generated"],
    )
    labels = dataset["train"].features["label"].names
    text = f"""# Handwritten digits, merged

{sum(map(len, dataset.values())):,} pictures of {len(labels)} labels ({", ".join(labels)}), merged from
{", ".join(f"`{source}`" for source in dataset["train"].unique("source"))}. No custom picture equals a picture of
MNIST, and none is here twice.

Columns: `image`, `label`, `source`, and `writer` (empty where unknown). No writer of the validation split is in the
training split. The test split is MNIST's own where MNIST is among the sources.

```
{count_table(dataset).to_string()}
```

MNIST: Y. LeCun, C. Cortes and C. Burges, http://yann.lecun.com/exdb/mnist/. The custom pictures keep the licence of
whoever gave them.
"""
    return DatasetCard(f"---\n{data.to_yaml()}\n---\n\n{text}")


def push_to_hub(dataset: DatasetDict, repo_id: str) -> str:
    """
    Publishes the dataset with its card.

    Args:
        repo_id: "name" or "owner/name"; it is created if it does not exist.

    Returns:
        The address of the dataset's page.
    """
    url = HfApi().create_repo(repo_id, repo_type="dataset", exist_ok=True)
    dataset_card(dataset).push_to_hub(url.repo_id, repo_type="dataset")
    dataset.push_to_hub(url.repo_id)  # adds the schema and the splits to the card's head
    return str(url)
