"""
Throughput of `python -m digit_model read` beside a loop that calls the pipeline picture by picture, in the same run.

    python tests/benchmark_numbers.py [FOLDER]

Reads 1,000 pictures (made ones if no folder is named), both in turns of 500, `read` with the start of its processes.
Exits with 1 where `read` is not twice as fast, or gives another text for any of them.
"""

import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from datasets import load_dataset

from data_prep import make_numbers
from data_prep.pictures import frames_of
from digit_model import PRETRAINED, load_checkpoint
from digit_model.folders import find_pictures
from digit_model.pipeline_digit import NumberReadingPipeline
from digit_model.reader import NumberReader, default_processes, read_in_processes

COUNT = 1000
TURN = 500


def made_pictures(folder: Path) -> list[str]:
    frames, labels = frames_of(load_dataset(str(ROOT / "tests" / "data" / "mnist"), split="test"))
    for index, number in enumerate(make_numbers(frames, labels, COUNT)):
        number.image.save(folder / f"{index:04}.jpg", quality=90)
    return find_pictures([str(folder)])


def main() -> None:
    model, processor = load_checkpoint(PRETRAINED)
    pipeline = NumberReadingPipeline(model=model, image_processor=processor)
    reader = NumberReader()
    with tempfile.TemporaryDirectory() as scratch:
        files = find_pictures(sys.argv[1:2])[:COUNT] if len(sys.argv) > 1 else made_pictures(Path(scratch))
        pipeline(files[0])  # the first call takes longer
        seconds, texts = [0.0, 0.0], [[], []]
        ways = (
            (lambda turn: [pipeline(file)["text"] for file in turn]),
            (lambda turn: [row["text"] for row in read_in_processes(reader, turn, default_processes(turn, None))]),
        )
        for start in range(0, len(files), TURN):
            for way, read in enumerate(ways):
                begin = time.perf_counter()
                texts[way] += read(files[start : start + TURN])
                seconds[way] += time.perf_counter() - begin
    per_second = [len(files) / each for each in seconds]
    print(f"loop {per_second[0]:.1f}, read {per_second[1]:.1f} pictures a second, ratio {seconds[0] / seconds[1]:.2f}")
    differing = sum(one != other for one, other in zip(*texts))
    print(f"texts that differ: {differing} of {len(files)}")
    sys.exit(differing > 0 or seconds[0] < 2 * seconds[1])


if __name__ == "__main__":
    main()
