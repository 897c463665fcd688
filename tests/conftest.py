"""Small real data for the tests, and an environment that touches neither the network nor the user's caches."""

import os
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tests run side by side, and threads that wait for each other spin
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_DATASETS_CACHE"] = tempfile.mkdtemp(prefix="datasets-")
os.environ["HF_MODULES_CACHE"] = tempfile.mkdtemp(prefix="modules-")

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import torch
from datasets import load_dataset
from PIL import Image, ImageChops, ImageDraw, ImageOps

from data_prep import Pages

ROOT = Path(__file__).parent.parent
MNIST = ROOT / "tests" / "data" / "mnist"
PRETRAINED = ROOT / "digit_model" / "pretrained"
SMALL = ["--mnist", MNIST, "--per_device_train_batch_size", "32", "--pages_per_step", "8", "--strings_per_step", "2"]


def python(*arguments: str | Path, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess:
    """Runs Python as a user would, in another process; its output is kept."""
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, env=os.environ | env, capture_output=True, text=True, timeout=900)


def call(main: Callable[[], None], *arguments: str | Path) -> None:
    """Runs a command in this process, which is quicker."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(sys, "argv", ["command", *map(str, arguments)])
        main()


def last_words(main: Callable[[], None], *arguments: str | Path) -> str:
    """Runs a command that cannot do what it is asked for, and gives the sentence with which it ends."""
    with pytest.raises(SystemExit) as ended:
        call(main, *arguments)
    assert isinstance(ended.value.code, str) and "\n" not in ended.value.code
    return ended.value.code


@contextmanager
def running_app(*command: str, stderr: IO | None = None, **settings: str) -> Iterator[tuple[str, subprocess.Popen]]:
    """`python app.py`, as a user starts it, or another command: its address and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = os.environ | {"GRADIO_SERVER_PORT": str(port)} | settings
    process = subprocess.Popen([sys.executable, *(command or ["app.py"])], cwd=ROOT, env=env, stderr=stderr)
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 300
    while True:
        try:
            urllib.request.urlopen(url)
            break
        except OSError:
            assert process.poll() is None and time.monotonic() < deadline, "the app did not start"
            time.sleep(0.2)
    try:
        yield url, process
    finally:
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def pytest_sessionfinish():
    for cache in ("HF_DATASETS_CACHE", "HF_MODULES_CACHE"):
        shutil.rmtree(os.environ[cache], ignore_errors=True)


@pytest.fixture(scope="session")
def mnist():
    return load_dataset(str(MNIST))


@pytest.fixture(scope="session")
def digits(mnist) -> list[Image.Image]:
    """Of each label the shipped digit that is nearest to their mean, as MNIST frames: nobody hesitates over it."""
    labels, images = np.array(mnist["test"]["label"]), mnist["test"]["image"]
    pixels = np.stack([np.asarray(image, dtype=float) for image in images])
    middle = np.stack([pixels[labels == label].mean(0) for label in range(10)])[labels]
    distance = np.square(pixels - middle).sum((1, 2))
    return [images[np.where(labels == label, distance, np.inf).argmin()] for label in range(10)]


def scan(digit: Image.Image, side: int = 96, ink: int = 40) -> Image.Image:
    """A digit as a scanner gives it: dark on white, larger, on more paper."""
    page = Image.new("L", (side, side), 255)
    stroke = digit.resize((side // 2, side // 2), Image.Resampling.BICUBIC)
    page.paste(ink, (side // 4, side // 4), stroke)
    return page


def page_of(digits: list[Image.Image], *lines: str, side: int = 56, gap: float = 0.72, ink: int = 40) -> Image.Image:
    """Lines of digits, dark on white, a character every `gap` sides; others are drawn: a 1 that is no more than a
    stroke is "|", one with a long upstroke "^"."""
    longest = max(map(len, lines))
    page = Image.new("L", (round(side * (gap * longest + 1)), round(side * (1.2 * len(lines) + 0.6))), 255)
    draw = ImageDraw.Draw(page)
    for number, line in enumerate(lines):
        for place, sign in enumerate(line):
            x, y = round(side * (0.3 + gap * place)), round(side * (0.3 + 1.2 * number))
            base, middle, pen = y + side * 0.82, y + side / 2, side // 14
            centre = x + side / 2
            if sign.isdigit():
                page.paste(ink, (x, y), digits[int(sign)].resize((side, side), Image.Resampling.BICUBIC))
            elif sign in ".,":
                draw.ellipse([centre - pen, base - pen, centre + pen, base + pen], fill=ink)
                if sign == ",":
                    draw.line([(centre, base), (centre - 2 * pen, base + 4 * pen)], fill=ink, width=pen)
            elif sign in "|^":
                top, low, flag = y + side * 0.15, y + side * 0.85, side * 0.14 * (sign == "^")
                points = [(centre - flag, y + side * 0.6), (centre + flag, top), (centre + flag, low)]
                draw.line(points[sign == "|" :], ink, pen, joint="curve")
            elif sign in "-=":
                for above in [0] if sign == "-" else [-pen, 2 * pen]:
                    ends = [(centre - side / 5, middle + above), (centre + side / 5, middle + above)]
                    draw.line(ends, fill=ink, width=pen)
    return page


def photo_of(digits: list[Image.Image], text: str) -> Image.Image:
    """A number in pencil on squared paper, in uneven light, slightly askew, as a phone takes it."""
    sheet = page_of(digits, text, side=110, ink=70)
    width, height = sheet.width + 240, sheet.height + 240
    paper = Image.new("L", (width, height), 225)
    draw = ImageDraw.Draw(paper)
    for pitch in range(0, max(width, height), 38):
        draw.line([(pitch, 0), (pitch, height)], fill=190, width=2)
        draw.line([(0, pitch), (width, pitch)], fill=190, width=2)
    paper.paste(70, (120, 120), ImageOps.invert(sheet))
    light = Image.linear_gradient("L").resize(paper.size).point(lambda tone: 255 - tone // 3)
    return ImageChops.multiply(paper, light).rotate(3, Image.Resampling.BICUBIC, fillcolor=200).convert("RGB")


def only(**shares: float) -> Pages:
    """Pages of single digits, but for the given shares of anything else."""
    return Pages(**{"empty": 0, "grain": 0, "string": 0, "straight": 0, "neighbour": 0, "joined": 0} | shares)


@pytest.fixture
def frames(digits) -> torch.Tensor:
    """The digits 0 to 9: float (10, 1, 28, 28) in [0, 1]."""
    return torch.from_numpy(np.stack([np.asarray(digit) for digit in digits]))[:, None].float() / 255


@pytest.fixture
def custom_folder(mnist, tmp_path) -> Path:
    """40 scans of three writers and one who is not named, <label>/<writer>_<n>.png."""
    folder = tmp_path / "custom"
    for number, row in enumerate(mnist["train"].select(range(40))):
        label = folder / str(row["label"])
        label.mkdir(parents=True, exist_ok=True)
        scan(row["image"]).save(label / f"{['ada', 'bo', 'cy', 'di'][number % 4]}_{number}.png")
    return folder


@pytest.fixture
def inverted(digits) -> list[Image.Image]:
    """The digits, dark on white, still 28x28: pages, no frames."""
    return [ImageOps.invert(digit) for digit in digits]
