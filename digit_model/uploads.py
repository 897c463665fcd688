"""Pictures that strangers bring, loose or in ZIP archives, of which nothing is ever unpacked to the disk."""

import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path, PurePosixPath

from PIL import Image

from .archives import name_of
from .errors import first_line
from .image_processing_digit import UnreadableImageError
from .scans_digit import DAMAGE, SCAN_SUFFIXES, count_pages, open_page, pages_of

ARCHIVE_DAMAGE = (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, EOFError, ValueError)
"""What unpacking a damaged or an encrypted archive may raise."""

MAX_PICTURES = 1000
"""Most pictures that are read at once."""

MAX_MEMBER_BYTES = 20 * 2**20
"""Largest picture of an archive, unpacked; no photo is larger."""

MAX_ARCHIVE_BYTES = 500 * 2**20
"""Largest archive, unpacked."""

Brought = str | BytesIO | Image.Image | UnreadableImageError
"""A picture that somebody brought, or why there is none."""


def brought_pictures(paths: list[str]) -> Iterator[tuple[str, Brought]]:
    """
    Names and pictures: files as they are, those in archives as bytes, one at a time; of a file of several pages, each
    page. What is refused comes with its reason in place of a picture. Beside other files, what is in an archive is
    named with it.
    """
    left = MAX_PICTURES
    for path in paths:
        loose = ((Path(page).name, page) for page in pages_of(path))
        packed = _members(Path(path), f"{Path(path).name}/" if len(paths) > 1 else "")
        for name, picture in packed if _is_archive(path) else loose:
            if left == 0:
                yield name, UnreadableImageError(f"{MAX_PICTURES:,} pictures were read; bring the others another time.")
                return
            yield name, picture
            left -= 1


def _is_archive(path: str) -> bool:
    return zipfile.is_zipfile(path) or Path(path).suffix.lower() == ".zip"  # or it is a damaged one


def count_pictures(paths: list[str]) -> int:
    """How many of them `brought_pictures` gives, for a progress bar, if those in archives have one page each."""
    return min(MAX_PICTURES, sum(map(_count, paths)))


def _count(path: str) -> int:
    try:
        with zipfile.ZipFile(path) as archive:
            return max(1, sum(map(_is_content, archive.infolist())))
    except (zipfile.BadZipFile, OSError, ValueError):
        return len(pages_of(path))


def _members(path: Path, prefix: str) -> Iterator[tuple[str, Brought]]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if _is_content(member)]
            if sum(member.file_size for member in members) > MAX_ARCHIVE_BYTES:
                yield path.name, UnreadableImageError(f"{path.name} unpacks to more than {MAX_ARCHIVE_BYTES >> 20} MB.")
                return
            if not members:
                yield path.name, UnreadableImageError(f"{path.name} holds no pictures.")
            for member in members:
                name = prefix + name_of(member)  # with its folders: there may be a 1.png in each
                if member.file_size > MAX_MEMBER_BYTES:
                    yield name, UnreadableImageError(f"{name} has more than {MAX_MEMBER_BYTES >> 20} MB.")
                else:
                    yield from _pages(name, _unpacked(archive, member, name))
    except ARCHIVE_DAMAGE as error:
        yield path.name, _not_unpacked(path.name, error)


def _pages(name: str, picture: BytesIO | UnreadableImageError) -> Iterator[tuple[str, Brought]]:
    is_scan = isinstance(picture, BytesIO) and PurePosixPath(name).suffix.lower() in SCAN_SUFFIXES
    count = count_pages(picture) if is_scan else 1
    if count == 1:
        yield name, picture
        return
    for page in range(1, count + 1):
        yield f"{name}#page={page}", _opened_at(page, BytesIO(picture.getvalue()), name)


def _opened_at(page: int, scan: BytesIO, name: str) -> Image.Image | UnreadableImageError:
    try:
        return open_page(scan, page)
    except DAMAGE as error:
        return UnreadableImageError(f"Page {page} of {name} cannot be read ({first_line(error)}).")


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> BytesIO | UnreadableImageError:
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others are unpacked without a bound
        return UnreadableImageError(f"{name} is packed as few programs do it; pack the archive anew.")
    try:
        with archive.open(member) as file:
            return BytesIO(file.read(MAX_MEMBER_BYTES))  # the archive may be wrong about its size
    except ARCHIVE_DAMAGE as error:
        return _not_unpacked(name, error)


def _not_unpacked(name: str, error: Exception) -> UnreadableImageError:
    return UnreadableImageError(f"{name} cannot be unpacked ({first_line(error)}).")


def _is_content(member: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(member.filename)
    is_hidden = any(part.startswith((".", "__MACOSX")) and part != ".." for part in path.parts)
    return not (member.is_dir() or is_hidden)
