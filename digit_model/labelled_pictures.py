"""Labelled pictures to measure a model on, from wherever people keep them."""

import unicodedata
import zlib
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import pandas as pd
import PIL.Image
from datasets import ClassLabel, Dataset, DatasetDict, Image, load_dataset
from datasets.exceptions import DatasetGenerationError, DatasetNotFoundError
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import httpx

from .archives import unpack
from .errors import DatasetError, first_line
from .folders import pictures_in
from .image_processing_digit import UnreadableImageError, open_image

_LABELS = ("label", "labels", "text")
_LOAD_ERRORS = (
    DatasetNotFoundError,
    DatasetGenerationError,
    HFValidationError,
    httpx.HTTPError,
    BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,  # a dataset that is a script
    ValueError,
)


class LabelledPicture(NamedTuple):
    """
    Attributes:
        name: The file's, or the index of the row.
        source: What `open_image` takes.
        label: What it shows.
    """

    name: str
    source: str | BytesIO
    label: str


def load_labelled(source: str, split: str | None = None) -> Dataset:
    """
    Args:
        source: An image folder or a ZIP of one (`<label>/<name>.png`, in a folder `test` what is to be measured on, if
            there is one), a folder with a `metadata.jsonl` or `metadata.csv` (`file_name`, `label`), a parquet file, a
            folder of such, or a dataset on the Hub, `owner/name` or `owner/name:config`.
        split: Which split; "test" if None and there is one, else the only one.

    Returns:
        Rows with the columns `image` (not decoded) and `label` (string).

    Raises:
        DatasetError: If it is missing, has no pictures or labels, or several splits and none of them "test".
    """
    try:
        splits = _load(Path(source))
    except DatasetError:
        raise
    except _LOAD_ERRORS as error:
        raise DatasetError(
            f"{source} cannot be read ({first_line(error)}); name an image folder or a ZIP of one, a parquet file, or "
            "a dataset on the Hub."
        ) from None
    split = split or ("test" if "test" in splits else next(iter(splits)) if len(splits) == 1 else None)
    if split not in splits:
        raise DatasetError(f"{source} has the splits {', '.join(splits)}: name one with --split.")
    return with_text_labels(splits[split], source)


def labelled_picture(rows: Dataset, index: int) -> LabelledPicture:
    """A row that `load_labelled` gives."""
    row = rows[index]
    image = row["image"] or {"path": None, "bytes": b""}  # a row may have no picture
    name = Path(image["path"]).name if image["path"] else str(index)
    return LabelledPicture(name, image["path"] if image["bytes"] is None else BytesIO(image["bytes"]), row["label"])


def open_labelled(rows: Dataset, described: list[dict], draft_side: int | None = None) -> Iterator[PIL.Image.Image]:
    """
    The pictures that can be read, one at a time; `described` gets the `file`, `label` and `error` of every one.

    Args:
        rows: As `load_labelled` gives them.
        described: Gets a row a picture.
        draft_side: As `open_image` takes it.
    """
    for index in range(len(rows)):
        picture = labelled_picture(rows, index)
        described.append({"file": picture.name, "label": picture.label, "error": ""})
        try:
            yield open_image(picture.source, draft_side)
        except UnreadableImageError as error:
            described[-1]["error"] = str(error)


def _load(path: Path) -> DatasetDict:
    if path.suffix.lower() == ".parquet":
        return load_dataset("parquet", data_files=str(path))
    if path.suffix.lower() == ".zip":
        path = unpack(path)
        inside = _visible(path)
        path = inside[0] if len(inside) == 1 and inside[0].is_dir() else path
    elif path.is_file():
        raise DatasetError(f"{path} is a file; name an image folder, a ZIP of one or a parquet file.")
    if path.is_dir() and (_metadata_of(path) or not any(path.rglob("*.parquet"))):
        return _load_folder(path)
    if path.exists():  # a colon may stand in its name, and does on Windows
        return load_dataset(str(path))
    name, _, config = str(path).partition(":")
    return load_dataset(name, config or None)


def _load_folder(folder: Path) -> DatasetDict:
    """The splits of a folder; `datasets` would take test_1.png for all that there is to a test split."""
    inside, metadata = {each.name.lower(): each for each in _visible(folder) if each.is_dir()}, _metadata_of(folder)
    if inside and set(inside) <= {"train", "validation", "test"} and not metadata:
        return DatasetDict({split: _load_split(each) for split, each in inside.items()})
    if not metadata and any(folder.rglob("metadata.*")):
        return load_dataset("imagefolder", data_dir=str(folder))
    if "test" in inside and not metadata:
        others = [file for file in pictures_in(folder) if not file.is_relative_to(inside["test"])]
        return DatasetDict(train=_labelled_by_folder(others), test=_load_split(inside["test"]))
    return DatasetDict(train=_load_split(folder.resolve()))


def _visible(folder: Path) -> list[Path]:
    return [each for each in folder.iterdir() if not each.name.startswith((".", "__MACOSX"))]


def _load_split(folder: Path) -> Dataset:
    metadata = _metadata_of(folder)
    if metadata:
        return _load_metadata(folder, metadata)
    files = pictures_in(folder)
    if not files:
        raise DatasetError(f"{folder} holds no pictures; name an image folder, <label>/<name>.png.")
    return _labelled_by_folder(files)


def _metadata_of(folder: Path) -> str | None:
    return next((name for name in ("metadata.jsonl", "metadata.csv") if (folder / name).exists()), None)


def _labelled_by_folder(files: list[Path]) -> Dataset:
    rows = Dataset.from_dict({"image": list(map(str, files)), "label": [file.parent.name for file in files]})
    return rows.cast_column("image", Image())


def _load_metadata(folder: Path, name: str) -> Dataset:
    """
    Takes columns of any kind beside those it needs, where datasets wants all rows of a column alike, and leaves 00420
    as it is.
    """
    is_csv = name.endswith(".csv")
    file = folder / name
    read = partial(pd.read_csv, dtype=str) if is_csv else partial(pd.read_json, lines=True, dtype=False)
    table = read(file, encoding="utf-8-sig")
    needed = ["file_name", *[name for name in _LABELS if name in table][:1]]
    for name in needed:
        if name not in table or table[name].isna().any() or not len(table):
            raise DatasetError(f"{file} needs a {name} in every line.")
    labels = {name: table[name].astype(str).tolist() for name in _LABELS if name in table}
    rows = Dataset.from_dict({"image": [str(folder / str(name)) for name in table["file_name"]]} | labels)
    return rows.cast_column("image", Image())


def with_text_labels(rows: Dataset, source: str = "the dataset") -> Dataset:
    """Rows with the columns `image` (not decoded) and `label` (string), as `load_labelled` gives them."""
    # a table that datasets did not write has a column of bytes and paths
    images = [name for name, feature in rows.features.items() if isinstance(feature, Image) or name == "image"]
    labels = [name for name in _LABELS if name in rows.features]
    labels += [name for name, feature in rows.features.items() if isinstance(feature, ClassLabel)]
    if not images or not labels:
        raise DatasetError(f"{source} needs a column of pictures and one named label; it has {rows.column_names}.")
    feature = rows.features[labels[0]]
    texts = rows[labels[0]]
    is_index = isinstance(feature, ClassLabel)
    if None in texts or (is_index and -1 in texts):  # how datasets leave a class out
        raise DatasetError(f"{source} has pictures without a label: give each one, or take them out.")
    texts = [feature.int2str(text) if is_index else str(text) for text in texts]
    texts = [unicodedata.normalize("NFC", text) for text in texts]  # a Mac writes é as e and an accent
    rows = rows.select_columns(images[:1]).rename_columns({images[0]: "image"} if images[0] != "image" else {})
    return rows.cast_column("image", Image(decode=False)).add_column("label", texts)
