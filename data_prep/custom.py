"""
Custom labelled pictures: an image folder, a ZIP of one, a parquet file, or a dataset on the Hub.

In a folder or ZIP the folder that a picture lies in is its label, `<label>/<name>.png`. Where a name starts with
`<writer>_`, that is who wrote it, but for names that start with the label.
"""

import hashlib
import io
import os
import re
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import datasets
import PIL.Image
import PIL.ImageOps
from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, Value, load_dataset, load_from_disk
from datasets.arrow_writer import ArrowWriter
from datasets.fingerprint import Hasher
from pillow_heif import register_heif_opener
from tqdm.auto import tqdm

from .errors import DataError, first_line

register_heif_opener()  # the format of iPhones

FEATURES = Features({"image": Image(), "label": Value("string"), "source": Value("string"), "writer": Value("string")})

MAX_PICTURE_BYTES = 100 * 2**20
"""A larger file is no picture of a digit, and unpacking it could fill the memory."""


MIN_SIDE, MAX_PIXELS = 4, 100_000_000
"""Nothing can be read from fewer pixels, and more of them fill the memory."""

DAMAGE = (
    *(OSError, ValueError, SyntaxError, RuntimeError, EOFError, LookupError, TypeError, AttributeError, struct.error),
    *(PIL.Image.DecompressionBombError, zipfile.BadZipFile, zlib.error),
)
"""What reading a damaged picture, or unpacking it, may raise."""


class Entry(NamedTuple):
    """What may be a labelled picture, before anybody has looked into it."""

    name: str
    label: str  # "" where it has none
    writer: str  # "" where unknown
    split: str  # "train" or "test"
    size: int  # bytes, as far as known
    read: Callable[[], bytes]


def read_custom(
    sources: list[str], labels: list[str] | None = None, mnist: DatasetDict | None = None
) -> tuple[DatasetDict, str]:
    """
    Reads custom pictures; what was read before and has not changed since comes from the datasets cache.

    Args:
        sources: Paths of folders, ZIP or parquet files, and dataset ids on the Hub.
        labels: The labels there are; pictures with another one are skipped. None takes every label as it comes.
        mnist: Pictures that equal one of these are skipped, so that no test picture is trained on.

    Returns:
        Splits "train" and, where a source has one, "test", with the columns `image`, `label` (string), `source` (the
        file's name or the id) and `writer` ("" where unknown); and a report of what was read and what was skipped.

    Raises:
        DataError: If a source is missing, unsafe, damaged, or holds nothing readable.
    """
    opened = [(Path(source).stem if Path(source).exists() else source, *_open(source)) for source in sources]
    states = [(name, state) for name, state, _ in opened]
    known = [split._fingerprint for split in mnist.values()] if mnist else []
    key = Hasher.hash([states, labels, known, Path(__file__).read_text()])
    folder = Path(datasets.config.HF_DATASETS_CACHE) / "digit_custom" / key
    if not folder.exists():
        _write([(name, entries) for name, _, entries in opened], labels, _digests(mnist), folder)
    return load_from_disk(str(folder / "data")), (folder / "report.txt").read_text(encoding="utf-8")


def _open(source: str) -> tuple[object, Iterable[Entry]]:
    """What tells this state of a source from any other, and its entries in a fixed order."""
    path = Path(source)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        if any(file.suffix == ".parquet" for file in files):
            return _open_dataset(source, source)
        return [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files], _in_folder(path, files)
    if path.suffix.lower() == ".parquet" and path.is_file():
        return _open_dataset(source, "parquet", data_files=source)
    if path.is_file():
        return (str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns), _in_zip(path)
    if re.fullmatch(r"\w[\w.-]*/[\w.-]+(:[\w.-]+)?", source):
        name, _, config = source.partition(":")
        return _open_dataset(source, name, **({"name": config} if config else {}))
    raise DataError(f"There is no custom data at {source}; check the path given to --custom_data.")


def _in_folder(root: Path, files: list[Path]) -> Iterator[Entry]:
    for file in files:
        yield from _file_entry(file.relative_to(root).as_posix(), file.stat().st_size, file.read_bytes)


def _in_zip(path: Path) -> Iterator[Entry]:
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile:
        raise DataError(f"{path} is neither a folder nor a ZIP or parquet file that can be read.") from None
    members = sorted((member for member in archive.infolist() if not member.is_dir()), key=lambda m: m.filename)
    names = [PurePosixPath(member.filename.replace("\\", "/")) for member in members]  # as some Windows programs pack
    for member, name in zip(members, names):
        # a drive letter leads outside as well, once somebody unpacks the archive on Windows
        if name.is_absolute() or ".." in name.parts or re.match(r"[A-Za-z]:", member.filename):
            raise DataError(f"{path} is refused: its member {member.filename} points outside the archive.")
    for member, name in zip(members, names):
        yield from _file_entry(str(name), member.file_size, partial(_unpacked, archive, member))


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others are unpacked without a bound
        raise zipfile.BadZipFile("packed as few programs do it")
    with archive.open(member) as file:
        return file.read(MAX_PICTURE_BYTES)  # the archive may be wrong about its size


def _file_entry(name: str, size: int, read: Callable[[], bytes]) -> Iterator[Entry]:
    path = PurePosixPath(name)
    if path.name != "Thumbs.db" and not any(
        part.startswith((".", "__MACOSX")) for part in path.parts
    ):  # left by programs
        yield Entry(name, path.parent.name, _writer_of(path.name, path.parent.name), "train", size, read)


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
    image, label = images[0], labels[0]
    for split, rows in dataset.cast_column(image, Image(decode=False)).items():
        for number, row in enumerate(rows):
            name = PurePosixPath(row[image]["path"] or f"{split} {number}").name
            text = "" if row[label] is None else str(row[label])
            if isinstance(features[label], ClassLabel):
                text = features[label].int2str(row[label]) if text not in ("", "-1") else ""
            writer = str(row.get("writer") or _writer_of(name, text))
            part = "test" if split == "test" else "train"
            yield Entry(name, text, writer, part, len(row[image]["bytes"] or b""), partial(_bytes_of, row[image]))


def _bytes_of(picture: dict) -> bytes:
    """An undecoded picture's bytes; a dataset made from an image folder holds the path of its file instead."""
    return Path(picture["path"]).read_bytes() if picture["bytes"] is None else picture["bytes"]


def _write(
    sources: list[tuple[str, Iterable[Entry]]], labels: list[str] | None, seen: dict[bytes, str], folder: Path
) -> None:
    """Writes the readable entries as a `DatasetDict`, and a report of the rest: all of it or nothing."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
        dir=folder.parent, prefix="unfinished-", ignore_cleanup_errors=True
    ) as scratch:  # Windows removes no file that is open
        tables, reports = {}, []
        for source, entries in sources:
            read, skipped = 0, defaultdict(list)
            for entry in tqdm(entries, desc=f"Reading {source}", unit=" pictures", leave=False):
                picture, problem = _inspect(entry, labels, seen)
                if problem:
                    skipped[problem].append(entry.name)
                    continue
                if entry.split not in tables:
                    tables[entry.split] = ArrowWriter(features=FEATURES, path=f"{scratch}/{entry.split}.arrow")
                row = {"label": entry.label, "source": source, "writer": entry.writer}
                tables[entry.split].write({"image": {"bytes": picture, "path": _encodable(entry.name)}, **row})
                read += 1
            reports.append(_report(source, read, skipped))
            if not read:
                raise DataError(f"{source} holds no picture with a label that can be read.\n{reports[-1]}")
        for table in tables.values():
            table.finalize()
        data = DatasetDict({split: Dataset.from_file(f"{scratch}/{split}.arrow") for split in tables})
        data.save_to_disk(f"{scratch}/done/data")
        Path(scratch, "done", "report.txt").write_text("\n".join(reports), encoding="utf-8")
        try:
            os.replace(f"{scratch}/done", folder)
        except OSError:  # another process has written the same in the meantime
            shutil.rmtree(f"{scratch}/done")


def _encodable(name: str) -> str:
    """A file's name, which on Linux may be no text in UTF-8."""
    return name.encode(errors="replace").decode()


def _inspect(entry: Entry, labels: list[str] | None, seen: dict[bytes, str]) -> tuple[bytes, str | None]:
    """The bytes of a picture and why it cannot be used; it is added to those seen if it can."""
    if not entry.label:
        return b"", "without a label"
    if labels is not None and entry.label not in labels:
        return b"", f"whose label is none of {', '.join(labels)}"
    if entry.size > MAX_PICTURE_BYTES:
        return b"", "too large"
    try:
        picture = entry.read()
        if not picture:
            return b"", "empty"
        with PIL.Image.open(io.BytesIO(picture)) as image:
            if min(image.size) < MIN_SIDE:
                return b"", "too small"
            if image.width * image.height > MAX_PIXELS:
                return b"", "too large"
            PIL.ImageOps.exif_transpose(image)  # as it is when it is decoded, in training
            digest, is_blank = _digest(image), all(low == high for low, high in _extrema(image))
    except PIL.UnidentifiedImageError:
        is_named_as_one = PurePosixPath(entry.name).suffix.lower() in PIL.Image.registered_extensions()
        return b"", "unreadable" if is_named_as_one else "that are no pictures"
    except DAMAGE:
        return b"", "unreadable"
    if is_blank:
        return b"", "empty"
    if digest in seen:
        return b"", seen[digest]
    seen[digest] = "that are in the custom pictures twice"
    return picture, None


def _digest(image: PIL.Image.Image) -> bytes:
    """The same for pictures that show the same pixels, however they are encoded."""
    if image.mode in ("1", "L", "P", "LA", "RGB"):
        image = image.convert("RGBA")
    return hashlib.sha1(f"{image.mode} {image.size} ".encode() + image.tobytes()).digest()


def _extrema(image: PIL.Image.Image) -> list[tuple[float, float]]:
    extrema = image.getextrema()
    return list(extrema) if isinstance(extrema[0], tuple) else [extrema]


def _digests(mnist: DatasetDict | None) -> dict[bytes, str]:
    if mnist is None:
        return {}
    reasons = {"train": "that equal an MNIST training picture", "test": "that equal an MNIST test picture"}
    return {
        _digest(image): reason
        for split, reason in reasons.items()
        for image in tqdm(mnist[split]["image"], desc=f"Comparing with MNIST {split}", leave=False)
    }


def _report(source: str, read: int, skipped: dict[str, list[str]]) -> str:
    lines = [f"{source}: {read:,} pictures read"]
    for reason, names in skipped.items():
        first = ", ".join(map(_encodable, names[:3]))
        lines.append(f"  {len(names):,} skipped {reason}: {first}{', ...' if len(names) > 3 else ''}")
    return "\n".join(lines)
