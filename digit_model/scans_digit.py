"""Files of several pages, as scanners write them: TIFF and PDF."""

import re
import warnings
from io import BytesIO
from pathlib import Path
from threading import Lock

from PIL import Image

try:  # a checkpoint is read without it too, but for PDFs
    import pypdfium2
except ImportError:
    pypdfium2 = None

SCAN_SUFFIXES = (".tif", ".tiff", ".pdf")
"""Of the files that may have several pages."""

MAX_PAGES = 10_000
"""Of a file; more are no scan, but made to keep a reader busy."""

DAMAGE = Exception
"""What the readers of Pillow and PDFium raise where a file is damaged: nearly anything."""

_WITH_PAGE = re.compile(r"(.+)#page=(\d{1,6})", re.DOTALL)  # as the address of a page of a PDF is written (RFC 3778)
_DPI = 200  # at which a page of a PDF is drawn, as fine as most people scan
_MAX_PIXELS = 2**23  # of a page of a PDF, beyond which it is drawn more coarsely: more than A3 has
_PDFIUM = Lock()  # it is made for one thread


def pages_of(path: str | Path) -> list[str]:
    """A file or, where it is a scan of several pages, each of these as `open_image` takes it: "scan.pdf#page=2"."""
    count = count_pages(path) if Path(path).suffix.lower() in SCAN_SUFFIXES else 1
    return [f"{path}#page={page}" for page in range(1, count + 1)] if count > 1 else [str(path)]


def split_page(name: str) -> tuple[str, int]:
    """What is to be opened, and which of its pages, from 1 on: "scan.pdf#page=2" -> "scan.pdf", 2."""
    match = _WITH_PAGE.fullmatch(name)
    return (match[1], int(match[2])) if match else (name, 1)


def count_pages(file: str | Path | BytesIO) -> int:
    """How many pages a file has, up to `MAX_PAGES`. One that is damaged counts, and is the last that can be found."""
    try:
        if _is_pdf(file):
            with _PDFIUM, pypdfium2.PdfDocument(file) as document:
                return min(len(document), MAX_PAGES)
        with warnings.catch_warnings(), Image.open(file) as image:
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return _count(image) if image.format == "TIFF" else 1  # several frames of another kind are one that moves
    except DAMAGE:  # of which `open_image` says what is wrong
        return 1


def _count(image: Image.Image) -> int:
    for page in range(2, MAX_PAGES + 1):
        try:
            _turn_to(page, image)
        except EOFError:
            return page - 1
        except Image.DecompressionBombError:
            continue
        except OSError:
            return page
    return MAX_PAGES


def open_page(file: str | Path | BytesIO, page: int = 1) -> Image.Image:
    """
    Args:
        file: Any picture, or a PDF.
        page: From 1 on.

    Raises:
        EOFError: If there is no such page.
        PIL.Image.DecompressionBombError: If it has many more pixels than a picture.
        Exception: If it is damaged, or the PDF has a password.
    """
    if _is_pdf(file):
        return _draw(file, page)
    image = Image.open(file)
    image.filename = ""  # or Pillow maps a raw TIFF that lies on its side into memory as if it stood upright
    if page > 1:
        _turn_to(page, image)
    return image


def _is_pdf(file: str | Path | BytesIO) -> bool:
    if pypdfium2 is None:
        return False
    if isinstance(file, BytesIO):
        return file.getbuffer()[:5] == b"%PDF-"
    with open(file, "rb") as opened:
        return opened.read(5) == b"%PDF-"


def _draw(file: str | Path | BytesIO, page: int) -> Image.Image:
    with _PDFIUM, pypdfium2.PdfDocument(file) as document:
        if not 1 <= page <= len(document):
            raise EOFError(f"it has {len(document)} pages")
        width, height = document.get_page_size(page - 1)  # in points, of which an inch has 72
        scale = min(_DPI / 72, (_MAX_PIXELS / max(width * height, 1)) ** 0.5)
        return document[page - 1].render(scale=scale).to_pil()


def _turn_to(page: int, image: Image.Image) -> None:
    try:
        image.seek(page - 1)
    except (EOFError, Image.DecompressionBombError):
        raise
    except Exception as error:  # Pillow raises nearly anything over a damaged page
        raise OSError(f"page {page} is damaged") from error
