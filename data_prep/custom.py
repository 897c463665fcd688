"""Custom labelled pictures: what can be used of them, checked once and then read from the cache."""

import hashlib
import io
import os
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import datasets
import PIL.Image
import PIL.ImageOps
from datasets import Dataset, DatasetDict, Features, Image, Value, load_from_disk
from datasets.arrow_writer import ArrowWriter
from datasets.fingerprint import Hasher
from pillow_heif import register_heif_opener
from tqdm.auto import tqdm

from .errors import DataError
from .sources import MAX_PICTURE_BYTES, Entry, open_source

register_heif_opener()  # the format of iPhones

FEATURES = Features({"image": Image(), "label": Value("string"), "source": Value("string"), "writer": Value("string")})

MIN_SIDE, MAX_PIXELS = 4, 100_000_000
"""Nothing can be read from fewer pixels, and more of them fill the memory."""

DAMAGE = (
    *(OSError, ValueError, SyntaxError, RuntimeError, EOFError, LookupError, TypeError, AttributeError, struct.error),
    *(PIL.Image.DecompressionBombError, zipfile.BadZipFile, zlib.error),
)
"""What reading a damaged picture, or unpacking it, may raise."""


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
        Splits "train" and, where a source has them, "validation" and "test", with the columns `image`, `label`
        (string), `source` (the file's name or the id) and `writer` ("" where unknown); and a report of what was read
        and what was skipped.

    Raises:
        DataError: If a source is missing, unsafe, damaged, or holds nothing readable.
    """
    opened = [(_name_of(source), *open_source(source)) for source in sources]
    states = [(name, state) for name, state, _ in opened]
    known = [split._fingerprint for split in mnist.values()] if mnist else []
    key = Hasher.hash([states, labels, known, *_code()])
    folder = Path(datasets.config.HF_DATASETS_CACHE) / "digit_custom" / key
    if not folder.exists():
        _write([(name, entries) for name, _, entries in opened], labels, _digests(mnist), folder)
    return load_from_disk(str(folder / "data")), (folder / "report.txt").read_text(encoding="utf-8")


def _name_of(source: str) -> str:
    path = Path(os.path.abspath(source))  # "." has a name too
    return path.stem if path.exists() else source


def _code() -> list[str]:
    """What decides which pictures are used: once it has changed, they are checked anew."""
    return [Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("custom.py", "sources.py")]


def _write(
    sources: list[tuple[str, Iterable[Entry]]], labels: list[str] | None, seen: dict[bytes, str], folder: Path
) -> None:
    """Writes the readable entries as a `DatasetDict`, and a report of the rest: all of it or nothing."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Windows removes no file that is open
    unfinished = tempfile.TemporaryDirectory(dir=folder.parent, prefix="unfinished-", ignore_cleanup_errors=True)
    with unfinished as scratch:
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
