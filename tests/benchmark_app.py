"""
The running app under load: 64 `gradio_client` users at once, then one user beside the bare pipeline, in the same run.

    python tests/benchmark_app.py [--users 64] [--requests 4]

Exits with 1 where a request fails, or where the median time of a single user's drawn digit reaches twice that of the
bare pipeline plus what Gradio takes for a function that does nothing.
"""

import argparse
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

import gradio as gr
from datasets import load_dataset
from gradio_client import Client, handle_file
from PIL import Image

import app
from data_prep import Corrections
from digit_model import load_checkpoint
from digit_model.answers import Answers

SINGLE = 40


def drawn_digit(folder: Path) -> str:
    """A digit as the canvas gives it: RGBA, transparent where nothing was drawn."""
    digit = load_dataset(str(ROOT / "tests" / "data" / "mnist"), split="test")[0]["image"]
    canvas = Image.new("RGBA", (app.CANVAS_SIDE,) * 2)
    canvas.paste((0, 0, 0, 255), (80, 80), digit.resize((140, 140)))
    canvas.save(folder / "drawn.png")
    return str(folder / "drawn.png")


def echo_app() -> gr.Blocks:
    with gr.Blocks() as blocks:
        picture, reading = gr.Image(type="filepath", image_mode=None), gr.JSON()
        gr.Button().click(lambda path: {"path": path}, picture, reading, api_name="echo")
    return blocks


def seconds(call) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=64)
    parser.add_argument("--requests", type=int, default=4, help="of each user")
    args = parser.parse_args()
    answers = Answers(*load_checkpoint())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        desk = app.Desk(answers, Corrections(folder / "corrections", answers.labels))
        urls = []
        for blocks in (app.build_app(desk, app.made_examples(desk, folder)), echo_app()):
            blocks.queue(**app.QUEUE)
            urls.append(blocks.launch(prevent_thread_lock=True, quiet=True)[1])
        path = drawn_digit(folder)

        def user(_: int) -> int:
            client = Client(urls[0], verbose=False)
            return sum(
                client.predict(handle_file(path), api_name="/read_number")["text"] == expected
                for _ in range(args.requests)
            )

        expected, wanted, begin = answers.reader(path)["text"], args.users * args.requests, time.perf_counter()
        with ThreadPoolExecutor(args.users) as users:
            served = sum(users.map(user, range(args.users)))
        pace = wanted / (time.perf_counter() - begin)
        print(f"{args.users} users: {served} of {wanted} requests served, {pace:.1f} a second")

        clients = [Client(url, verbose=False) for url in urls]
        ways = {
            "app": lambda: clients[0].predict(handle_file(path), api_name="/read_number"),
            "echo": lambda: clients[1].predict(handle_file(path), api_name="/echo"),
            "pipeline": lambda: answers.reader(path),
        }
        times = {name: [] for name in ways}
        for _ in range(SINGLE):
            for name, call in ways.items():
                times[name].append(seconds(call))
        median = {name: statistics.median(each) for name, each in times.items()}
        print(", ".join(f"{name} {1000 * each:.0f} ms" for name, each in median.items()))
        sys.exit(served < wanted or median["app"] >= 2 * median["pipeline"] + median["echo"])


if __name__ == "__main__":
    main()
