"""Many pictures to a table of what stands on them, a row a picture."""

import csv
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from io import BytesIO, StringIO
from itertools import islice
from pathlib import Path
from threading import Thread

import numpy as np
import torch
from PIL import Image

from .checkpoint import PRETRAINED, load_checkpoint
from .errors import ReaderError
from .image_processing_digit import UnreadableImageError
from .memory import keep_freed_memory
from .onnx_runtime import need, on_onnx_runtime
from .pipeline_digit import NumberReadingPipeline

COLUMNS = ["file", "text", "score", "error"]
"""Of a table: the picture, the numbers on it, how sure that is, in [0, 1], and why it could not be read."""

Picture = str | BytesIO | Image.Image | np.ndarray
"""A path, the bytes of a file, or a picture that is open."""

_MAX_PIXELS = 4_000_000  # of pictures that are read together: each takes some thirty bytes meanwhile
_ENOUGH = 100  # pictures for which a process more is worth its start


class NumberReader:
    """
    A `pipeline("number-reading")` over batches of columns, as `datasets.Dataset.map(batched=True)` and
    `ray.data.Dataset.map_batches` hand them over.

    Pictures are decoded in threads while the model reads those before them. With `backend="onnx"`, ONNX Runtime runs
    the networks, on the CPU.

    Raises:
        CheckpointError: If ONNX Runtime is asked for and not installed.
        ReaderError: If it is to read on something else than the CPU.
    """

    def __init__(
        self,
        model: str = PRETRAINED,
        device: str | None = None,
        batch_size: int = 32,
        pipeline: NumberReadingPipeline | None = None,
        backend: str = "torch",
    ):
        self.model, self.device, self.batch_size, self.backend = model, device, batch_size, backend
        self._pipeline = pipeline
        if backend == "onnx":
            need("onnx", "onnxscript", "onnxruntime")
            if device not in (None, "cpu"):
                raise ReaderError(f"ONNX Runtime reads on the CPU, not on {device}: leave --device out.")
            self.device = "cpu"

    def __getstate__(self) -> dict:
        """Other processes load the model themselves."""
        return self.__dict__ | {"_pipeline": None}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)
        _use_one_thread()

    @property
    def pipeline(self) -> NumberReadingPipeline:
        if self._pipeline is None:
            model, processor = load_checkpoint(self.model)
            model = on_onnx_runtime(model) if self.backend == "onnx" else model
            self._pipeline = NumberReadingPipeline(model=model, image_processor=processor, device=self.device)
        return self._pipeline

    def __call__(self, batch: dict[str, list]) -> dict[str, list]:
        """
        Args:
            batch: The column `file`, paths; or `path` and what lies there, as Ray Data reads it with
                `include_paths=True`: `bytes`, of files, or `image`, arrays (H, W, C), which know of no EXIF turn.

        Returns:
            The columns `COLUMNS`.
        """
        names = batch["file"] if "file" in batch else batch["path"]
        pictures = map(BytesIO, batch["bytes"]) if "bytes" in batch else batch.get("image", names)
        rows = list(self.read(zip(names, pictures)))
        return {column: [row[column] for row in rows] for column in COLUMNS}

    def read(self, pictures: Iterable[tuple[str, Picture | UnreadableImageError]]) -> Iterator[dict]:
        """Names and pictures, or why there is none, -> a row each, in their order."""
        pictures, preprocess = iter(pictures), self.pipeline.preprocess
        with ThreadPoolExecutor(max_workers=torch.get_num_threads()) as threads:  # one where several processes read

            def begin() -> list:
                chosen = list(islice(pictures, self.batch_size))
                return [(name, threads.submit(_preprocess_or_reason, preprocess, picture)) for name, picture in chosen]

            batch = begin()
            while batch:
                following = begin()
                yield from self._rows(batch)
                batch = following

    def _rows(self, batch: list) -> Iterator[dict]:
        prepared = [(name, future.result()) for name, future in batch]
        inputs = [each for _, each in prepared if isinstance(each, dict)]
        readings = (reading for group in _in_bounds(inputs) for reading in self._readings(group))
        for name, each in prepared:
            if isinstance(each, str):
                yield {"file": name, "text": "", "score": 0.0, "error": each}
            else:
                reading = next(readings)
                yield {"file": name, "text": reading["text"], "score": round(reading["score"], 6), "error": ""}

    def _readings(self, inputs: list[dict]) -> Iterator[dict]:
        merged = {key: [each[key] for each in inputs] for key in inputs[0]}
        outputs = self.pipeline.forward(merged)["readings"]
        return (self.pipeline.postprocess({"readings": output}) for output in outputs)


def _in_bounds(inputs: list[dict]) -> Iterator[list[dict]]:
    """Groups of pictures that fit into memory together, each of at least one."""
    group, pixels = [], 0
    for each in inputs:
        size = each["pictures"][0].numel()
        if group and pixels + size > _MAX_PIXELS:
            yield group
            group, pixels = [], 0
        group.append(each)
        pixels += size
    if group:
        yield group


def _preprocess_or_reason(preprocess: Callable, picture: Picture | UnreadableImageError) -> dict | str:
    if isinstance(picture, UnreadableImageError):
        return str(picture)
    try:
        return preprocess(picture)
    except UnreadableImageError as error:
        return str(error)


def default_processes(files: list[str], device: str | None) -> int:
    """One for every CPU where there are pictures enough for them all; one where something faster than CPUs reads."""
    if device not in (None, "cpu") or (device is None and torch.accelerator.is_available()):
        return 1
    cpus = getattr(os, "process_cpu_count", os.cpu_count)()  # from Python 3.13 on, those that this process may use
    return max(1, min(cpus, len(files) // _ENOUGH))


def read_in_processes(reader: NumberReader, files: list[str], processes: int) -> Iterator[dict]:
    """
    The same rows in the same order from several processes, each of which reads a batch at a time.

    Raises:
        ReaderError: If one of the processes was killed.
    """
    batches = (files[start : start + reader.batch_size] for start in range(0, len(files), reader.batch_size))
    with ProcessPoolExecutor(processes, initializer=_start_process, initargs=[reader]) as executor:
        try:
            for rows in executor.map(_read, batches):
                yield from rows
        except BrokenProcessPool:
            raise ReaderError(
                "A process that read was killed, most likely for want of memory; try a smaller --num_proc."
            ) from None


_reader: NumberReader  # of a process that is one of several


def _start_process(reader: NumberReader) -> None:
    global _reader
    _reader = reader
    _use_one_thread()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that waits for this one
    Thread(target=_end_with, args=[os.getppid()], daemon=True).start()


def _end_with(parent: int) -> None:
    """One that was killed tells nobody, and this one would wait for its pictures for ever."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def _read(files: list[str]) -> list[dict]:
    return list(_reader.read(zip(files, files)))


def _use_one_thread() -> None:
    """
    Pictures are too small for several threads to be worth it, and a process that was forked off one whose threads had
    computed would wait for its copies of them for ever.
    """
    keep_freed_memory()
    torch.set_num_threads(1)


def trim_table(path: Path, files: list[str]) -> list[dict]:
    """
    Takes off a table the row that was being written when the run was stopped, and gives the others.

    Raises:
        ReaderError: If its rows are of other pictures.
    """
    if not path.exists():
        return []
    content = path.read_bytes()
    whole, ending, _ = content.rpartition(b"\r\n")  # within a text lines end otherwise
    table = csv.DictReader(StringIO((whole + ending).decode("utf-8", "surrogateescape"), newline=""))
    rows = list(table) if table.fieldnames == COLUMNS else []
    is_begun = ",".join(COLUMNS).startswith(content.decode("utf-8", "replace"))
    if not (table.fieldnames == COLUMNS or is_begun) or [row["file"] for row in rows] != files[: len(rows)]:
        others = [f", first of {row['file']}" for row, file in zip(rows, files) if row["file"] != file]
        first = others[0] if others else ""
        raise ReaderError(f"{path} has rows of other pictures{first}; name another file, or the same pictures again.")
    with path.open("r+b") as table_file:  # it may be the only copy, and the disk full
        table_file.truncate(len(whole + ending) if rows else 0)
    return rows
