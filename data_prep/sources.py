"""
Where custom pictures come from: an image folder, a ZIP of one, a parquet file, or a dataset on the Hub.

In a folder or ZIP the folder that a picture lies in is its label, `<label>/<name>.png`; below a folder `validation` or
`test` it is held out for that. Where a name starts with `<writer>_`, that is who wrote it, but for names that start
with the label. One with a `metadata.jsonl` or `metadata.csv` says in there what its pictures show, `file_name` and
`label`, and who wrote them, `writer`.
"""

import csv
import json
import re
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import datasets
from datasets import ClassLabel, DatasetDict, Image, load_dataset

from .errors import DataError, first_line

MAX_PICTURE_BYTES = 100 * 2**20
"""A larger file is no picture of a digit, and unpacking it could fill the memory."""

_METADATA = ("metadata.jsonl", "metadata.csv")


class File(NamedTuple):
    """A file of a folder or ZIP."""

    name: str  # with the folders below the source, "/" between them
    size: int  # bytes, as far as known
    read: Callable[[], bytes]


class Entry(NamedTuple):
    """What may be a labelled picture, before anybody has looked into it."""

    name: str
    label: str  # "" where it has none
    writer: str  # "" where unknown
    split: str  # "train", "validation" or "test"
    size: int  # bytes, as far as known
    read: Callable[[], bytes]


def open_source(source: str) -> tuple[object, Iterable[Entry]]:
    """
    Args:
        source: The path of a folder, a ZIP or a parquet file, or the id of a dataset on the Hub.

    Returns:
        What tells this state of the source from any other, and its entries in a fixed order.

    Raises:
        DataError: If it is missing, unsafe, or no dataset of labelled pictures.
    """
    path = Path(source)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        if any(file.suffix == ".parquet" for file in files):
            return _open_dataset(source, source)
        there = [_file_in(path, file.relative_to(path).as_posix()) for file in files]
        state = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
        return state, _entries(source, there, partial(_file_in, path))
    if path.suffix.lower() == ".parquet" and path.is_file():
        return _open_dataset(source, "parquet", data_files=source)
    if path.is_file():
        state = (str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns)
        members = _in_zip(path)
        return state, _entries(source, members, partial(_file_among, {member.name: member for member in members}))
    if re.fullmatch(r"\w[\w.-]*/[\w.-]+(:[\w.-]+)?", source):
        name, _, config = source.partition(":")
        return _open_dataset(source, name, **({"name": config} if config else {}))
    raise DataError(f"There is no custom data at {source}; check the path given to --custom_data.")


def _file_in(root: Path, name: str) -> File:
    file = root / name
    return File(name, file.stat().st_size if file.exists() else 0, file.read_bytes)


def _file_among(members: dict[str, File], name: str) -> File:
    return members.get(name, File(name, 0, partial(members.__getitem__, name)))  # reading it says that it is missing


def _in_zip(path: Path) -> list[File]:
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        raise DataError(f"{path} is neither a folder nor a ZIP or parquet file that can be read.") from None
    members = sorted((member for member in archive.infolist() if not member.is_dir()), key=lambda m: m.filename)
    names = [PurePosixPath(_name_of(member).replace("\\", "/")) for member in members]  # as some Windows programs pack
    for member, name in zip(members, names):
        # a drive letter leads outside as well, once somebody unpacks the archive on Windows
        if name.is_absolute() or ".." in name.parts or re.match(r"[A-Za-z]:", member.filename):
            raise DataError(f"{path} is refused: its member {member.filename} points outside the archive.")
    return [
        File(str(name), member.file_size, partial(_unpacked, archive, member)) for member, name in zip(members, names)
    ]


def _name_of(member: zipfile.ZipInfo) -> str:
    """Many programs write UTF-8 and do not say so, which `zipfile` takes for the names of DOS."""
    says_utf_8 = member.flag_bits & 0x800
    try:
        return member.filename if says_utf_8 else member.filename.encode("cp437").decode()
    except UnicodeError:
        return member.filename


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others are unpacked without a bound
        raise zipfile.BadZipFile("packed as few programs do it")
    with archive.open(member) as file:
        return file.read(MAX_PICTURE_BYTES)  # the archive may be wrong about its size


def _entries(source: str, files: list[File], find: Callable[[str], File]) -> Iterator[Entry]:
    """What a folder or ZIP holds: `find` gives the file of a name that one of its tables has."""
    tables = [file for file in files if PurePosixPath(file.name).name in _METADATA]
    if tables:
        return chain.from_iterable(_by_table(f"{source}/{table.name}", table, find) for table in tables)
    return chain.from_iterable(map(_by_folder, files))


def _by_table(path: str, table: File, find: Callable[[str], File]) -> Iterator[Entry]:
    for row in _rows_of(path, table):
        if not isinstance(row, dict) or row.get("file_name") is None or "label" not in row:
            raise DataError(f"{path} needs a file_name and a label in every line.")
        name = PurePosixPath(table.name).parent / str(row["file_name"])
        texts = ("" if row.get(key) is None else str(row[key]) for key in ("label", "writer"))
        label, writer = (unicodedata.normalize("NFC", text) for text in texts)  # as names of folders are
        file, folders = find(str(name)), [part.lower() for part in name.parts[:-1]]
        yield Entry(file.name, label, writer or _writer_of(name.name, label), _split_of(folders), file.size, file.read)


def _rows_of(path: str, table: File) -> list[dict]:
    try:
        text = table.read().decode("utf-8-sig")
        if table.name.endswith(".csv"):
            return list(csv.DictReader(text.splitlines()))
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    except (ValueError, csv.Error, OSError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({first_line(error)}).") from None


def _by_folder(file: File) -> Iterator[Entry]:
    path = PurePosixPath(file.name)
    is_hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
    if not is_hidden and path.name != "Thumbs.db":  # file managers leave these
        label = unicodedata.normalize("NFC", path.parent.name)  # a Mac writes é as e and an accent
        folders = [part.lower() for part in path.parts[:-2]]
        yield Entry(file.name, label, _writer_of(path.name, path.parent.name), _split_of(folders), file.size, file.read)


def _split_of(names: list[str]) -> str:
    return next((split for split in ("test", "validation") if split in names), "train")


def _writer_of(name: str, label: str) -> str:
    match = re.match(r"([^_.]+)_", name)
    return match[1] if match and match[1] != label else ""


def _open_dataset(source: str, path: str, **options) -> tuple[object, Iterable[Entry]]:
    try:
        dataset = load_dataset(path, **options)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        has_several = str(error).startswith("Config name is missing")
        hint = f"name it as {source}:CONFIG" if has_several else "check the path, the id or the network"
        raise DataError(f"{source} cannot be loaded as a dataset ({first_line(error)}); {hint}.") from None
    return [rows._fingerprint for rows in dataset.values()], _in_dataset(source, dataset)


def _in_dataset(source: str, dataset: DatasetDict) -> Iterator[Entry]:
    features = next(iter(dataset.values())).features
    images = [name for name, feature in features.items() if isinstance(feature, Image) or name == "image"]
    labels = [name for name, feature in features.items() if isinstance(feature, ClassLabel) or name == "label"]
    if not images or not labels:
        raise DataError(f"{source} needs a column 'image' and a column 'label', it has {', '.join(features)}.")
    image, label = (name if name in found else found[0] for name, found in (("image", images), ("label", labels)))
    for split, rows in dataset.cast_column(image, Image(decode=False)).items():
        for number, row in enumerate(rows):
            picture = row[image] or {"path": None, "bytes": b""}  # a row may have none
            name = PurePosixPath(picture["path"] or f"{split} {number}").name
            text = "" if row[label] is None else str(row[label])
            if isinstance(features[label], ClassLabel):
                text = features[label].int2str(row[label]) if text not in ("", "-1") else ""
            writer = row.get("writer")
            writer = _writer_of(name, text) if writer in (None, "") else str(writer)
            size = len(picture["bytes"] or b"")
            yield Entry(name, text, writer, _split_of([split]), size, partial(_bytes_of, picture))


def _bytes_of(picture: dict) -> bytes:
    """An undecoded picture's bytes; a dataset made from an image folder holds the path of its file instead."""
    return Path(picture["path"]).read_bytes() if picture["bytes"] is None else picture["bytes"]
