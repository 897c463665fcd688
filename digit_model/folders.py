"""The pictures in folders."""

from pathlib import Path

from PIL import Image

from .errors import ReaderError
from .scans_digit import SCAN_SUFFIXES, pages_of


def find_pictures(places: list[str]) -> list[str]:
    """
    Files as they are, and every picture in folders and those within, by name; of a file of several pages, each page.

    Raises:
        ReaderError: If a name is empty, or a folder has no picture. A file that does not exist is kept, and becomes a
            row with its error.
    """
    if "" in places:
        raise ReaderError("One of the names is empty, as of a variable that is not set: name a picture or a folder.")
    found = []
    for place in map(Path, places):
        if place.is_dir():
            inside = pictures_in(place)
            if not inside:
                raise ReaderError(f"The folder {place} holds no pictures; name one that does.")
            found += inside
        else:
            found.append(place)
    return [page for file in found for page in pages_of(file)]


def pictures_in(folder: Path) -> list[Path]:
    """Every file in a folder and those within that has the name of a picture, in their order, but for hidden ones."""
    of_pictures = {suffix for suffix, format in Image.registered_extensions().items() if format in Image.OPEN}
    suffixes = of_pictures.union(SCAN_SUFFIXES)
    files = (file for file in folder.rglob("*") if file.suffix.lower() in suffixes and not file.is_dir())
    return sorted(file for file in files if not any(part.startswith(".") for part in file.relative_to(folder).parts))
