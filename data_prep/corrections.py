"""Pictures that visitors of the app have labelled, kept as a custom dataset: `<label>/<writer>_<digest>.png`."""

import hashlib
import io
import os
import re
import sys
import threading
from contextlib import suppress
from pathlib import Path

from huggingface_hub import CommitInfo, CommitOperationDelete, CommitScheduler
from huggingface_hub.errors import HfHubHTTPError
from huggingface_hub.utils import httpx
from PIL import Image, ImageOps

from .errors import DataError, first_line

MAX_SIDE = 1024
"""Of a picture that is kept, in pixels; a larger one is shrunk."""

MAX_BYTES = 2**30
"""Of all pictures together, beyond which no more are kept."""

MINUTES_BETWEEN_COMMITS = 5


class Corrections:
    """
    A folder of labelled pictures that only grows by whole pictures: a file is complete when it gets its name, and the
    folder can be given to `python train.py --custom_data` at any time.

    Attributes:
        folder: Where they are.
        labels: What a picture may be labelled.
        max_bytes: Of all pictures together.
    """

    def __init__(self, folder: str | Path, labels: list[str], max_bytes: int = MAX_BYTES):
        self.folder, self.labels, self.max_bytes = Path(folder), labels, max_bytes
        self._lock = threading.Lock()
        self.folder.mkdir(parents=True, exist_ok=True)
        for unfinished in self.folder.glob(".*.part"):
            unfinished.unlink()
        self._bytes = sum(path.stat().st_size for path in self.folder.glob("*/*.png"))

    def publish_to(self, repo_id: str) -> CommitScheduler:
        """
        From now on, new pictures go to a dataset on the Hub every few minutes, a private one if it is new.

        Raises:
            DataError: If the Hub cannot be reached or refuses; the pictures are kept in the folder all the same.
        """
        try:
            scheduler = _Publisher(
                repo_id=repo_id,
                repo_type="dataset",
                folder_path=self.folder,
                every=MINUTES_BETWEEN_COMMITS,
                allow_patterns="*/*.png",
                private=True,
            )
        except (OSError, ValueError, HfHubHTTPError, httpx.HTTPError) as error:
            raise DataError(
                f"Corrections cannot be published to {repo_id} ({first_line(error)}); they are kept in {self.folder}."
            ) from None
        self._lock = scheduler.lock
        return scheduler

    def labels_in(self, number: str) -> list[str]:
        """
        A number -> the label of each of its digits, the longest that fits first; ১২ says 12. Spaces and separators are
        left out, as when it is read.

        Raises:
            DataError: If a sign of it is none of `labels`.
        """
        known = "|".join(re.escape(label) for label in sorted(self.labels, key=len, reverse=True))
        signs = re.findall(rf"{known}|[^\s.,=-]", number)
        signs = [str(int(sign)) if sign.isdecimal() and sign not in self.labels else sign for sign in signs]
        for sign in signs:
            self._check(sign)
        return signs

    def _check(self, label: str) -> None:
        if label not in self.labels:
            raise DataError(f"{label!r} is none of the labels {', '.join(self.labels)}; choose one of them.")
        if Path(label).name != label or label == "..":
            raise DataError(f"A picture of {label!r} cannot be kept: no folder may have that name.")

    def add(self, image: Image.Image, label: str, writer: str) -> Path:
        """
        Keeps a picture. One that is there already is not kept twice; under another label it moves there.

        Args:
            image: Any mode; only its pixels are kept, and not where or with what it was taken.
            label: One of `labels`.
            writer: Who brought it, by a name that tells nothing else about them; letters and digits.

        Returns:
            Its file, which is on the disk by then.

        Raises:
            DataError: If the label is none of `labels` or can be no folder's name, or no more can be kept.
        """
        self._check(label)
        content = _png(image)
        digest = hashlib.sha256(content).hexdigest()[:24]
        path = self.folder / label / f"{writer}_{digest}.png"
        with self._lock:
            there = list(self.folder.glob(f"*/*_{digest}.png"))
            kept = [other for other in there if other.parent == path.parent]
            elsewhere = [other for other in there if other.parent != path.parent]
            if not kept:
                if self._bytes + (0 if elsewhere else len(content)) > self.max_bytes:
                    raise DataError("No more corrections can be kept: the folder is full. Thank you all the same.")
                _write(content, path, self.folder / f".{digest}.part")
                self._bytes += len(content)
            for other in elsewhere:
                self._bytes -= other.stat().st_size
                other.unlink()
        return kept[0] if kept and path not in kept else path


class _Publisher(CommitScheduler):
    """
    Adds what is new, as every scheduler, and takes off what has got another label since it was added. As a context, it
    publishes what is left when that ends.
    """

    def __exit__(self, *error) -> None:
        try:
            super().__exit__(*error)
        except (OSError, HfHubHTTPError, httpx.HTTPError) as problem:
            warning = f"warning: The last corrections are kept in {self.folder_path} only ({first_line(problem)})."
            print(warning, file=sys.stderr)
        finally:
            self.stop()

    def push_to_hub(self) -> CommitInfo | None:
        commit = super().push_to_hub()
        moved = [path for path in self.last_uploaded if not path.exists()]
        if moved:
            commit = self.api.create_commit(
                self.repo_id,
                [CommitOperationDelete(path.relative_to(self.folder_path).as_posix()) for path in moved],
                commit_message="Take off what has another label now",
                repo_type=self.repo_type,
            )
            for path in moved:
                del self.last_uploaded[path]
        return commit


def _png(image: Image.Image) -> bytes:
    with suppress(Exception):  # Pillow raises nearly anything over damaged EXIF, which counts as none
        image = ImageOps.exif_transpose(image)
    upright = image.convert("RGBA" if image.has_transparency_data else "RGB")
    upright.thumbnail((MAX_SIDE, MAX_SIDE))
    upright.info.clear()
    content = io.BytesIO()
    upright.save(content, "PNG")
    return content.getvalue()


def _write(content: bytes, path: Path, unfinished: Path) -> None:
    """A file gets its name when all of it is on the disk."""
    path.parent.mkdir(exist_ok=True)
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    with suppress(OSError):  # a folder can be synced on POSIX alone
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)
        os.close(folder)
