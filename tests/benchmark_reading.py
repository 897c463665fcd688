"""
How long a picture takes from its file to its label, beside the public OCR package ddddocr in the same run.

    pip install ddddocr
    python tests/benchmark_reading.py [PHOTO]

Reads one 512-pixel photo (a made one if none is named) with both in turns, and MNIST frames in batches with the whole
model and with its classifier alone. Exits with 1 where a photo takes more than twice ddddocr's time, or the model reads
less than 0.8 of the frames that its classifier does.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import torch
from datasets import load_dataset
from PIL import Image

from data_prep.pictures import frames_of
from digit_model import DigitImageClassificationPipeline, load_checkpoint

REPEATS = 200
TURN = 20  # calls: ddddocr keeps its threads busy for a while after each, and would hold up whoever is next


def made_photo(folder: Path) -> Path:
    """A shipped digit on grey paper, as large as a phone sends it."""
    digit = load_dataset(str(ROOT / "tests" / "data" / "mnist"), split="test")[0]["image"]
    page = Image.new("RGB", (384, 512), (180, 180, 175))
    page.paste((60, 60, 90), (90, 130), digit.resize((220, 220), Image.Resampling.BICUBIC))
    page.save(folder / "photo.jpg", quality=90)
    return folder / "photo.jpg"


def milliseconds(*functions: Callable[[], object]) -> list[float]:
    """The median of each; they take turns so that all meet the same noise."""
    times = [[] for _ in functions]
    for repeat in range(REPEATS // TURN + 1):
        for function, measured in zip(functions, times):
            for _ in range(TURN):
                start = time.perf_counter()
                function()
                if repeat:
                    measured.append((time.perf_counter() - start) * 1000)
    return [statistics.median(measured) for measured in times]


def main() -> None:
    import ddddocr

    model, processor = load_checkpoint()
    classifier = DigitImageClassificationPipeline(model=model, image_processor=processor)
    ocr = ddddocr.DdddOcr(show_ad=False)
    with tempfile.TemporaryDirectory() as scratch:
        photo = Path(sys.argv[1]) if len(sys.argv) > 1 else made_photo(Path(scratch))
        ours, theirs = milliseconds(lambda: classifier(str(photo)), lambda: ocr.classification(photo.read_bytes()))
    print(f"one photo: {ours:.1f} ms, ddddocr {theirs:.1f} ms, ratio {ours / theirs:.2f}")

    frames, _ = frames_of(load_dataset(str(ROOT / "tests" / "data" / "mnist"), split="train"))
    frames = frames.repeat(2, 1, 1, 1)[:500].float() / 255
    with torch.inference_mode():
        whole, alone = milliseconds(lambda: model(frames), lambda: model.classifier(frames))
    print(f"500 frames: model {whole:.1f} ms, its classifier alone {alone:.1f} ms, ratio {alone / whole:.2f}")
    sys.exit(ours > 2 * theirs or alone < 0.8 * whole)


if __name__ == "__main__":
    main()
