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
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from conftest import MNIST, running_app
from datasets import load_dataset
from gradio_client import Client, handle_file
from PIL import Image

from digit_model import NumberReadingPipeline, load_checkpoint

SINGLE = 40
ECHO = """
import gradio as gr
with gr.Blocks() as blocks:
    gr.Button().click(lambda path: {"path": path}, gr.Image(type="filepath"), gr.JSON(), api_name="echo")
blocks.launch()
"""


def drawn_digit(folder: str) -> str:
    """A digit as the canvas gives it: RGBA, transparent where nothing was drawn."""
    digit = load_dataset(str(MNIST), split="test")[0]["image"]
    canvas = Image.new("RGBA", (320, 320))
    canvas.paste((0, 0, 0, 255), (90, 90), digit.resize((140, 140)))
    canvas.save(f"{folder}/drawn.png")
    return f"{folder}/drawn.png"


def seconds(call: Callable) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=64)
    parser.add_argument("--requests", type=int, default=4, help="of each user")
    args = parser.parse_args()
    model, processor = load_checkpoint()
    reader = NumberReadingPipeline(model=model, image_processor=processor)
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as servers:
        app, _ = servers.enter_context(running_app(CORRECTIONS_FOLDER=f"{scratch}/corrections"))
        echo, _ = servers.enter_context(running_app("-c", ECHO))
        path = drawn_digit(scratch)
        expected = reader(path)["text"]

        def user(_: int) -> int:
            client = Client(app, verbose=False)
            texts = [client.predict(handle_file(path), api_name="/read_number")["text"] for _ in range(args.requests)]
            return texts.count(expected)

        begin = time.perf_counter()
        with ThreadPoolExecutor(args.users) as users:
            served = sum(users.map(user, range(args.users)))
        wanted, pace = args.users * args.requests, args.users * args.requests / (time.perf_counter() - begin)
        print(f"{args.users} users: {served} of {wanted} requests served, {pace:.1f} a second")

        app_client, echo_client = Client(app, verbose=False), Client(echo, verbose=False)
        ways = {
            "app": lambda: app_client.predict(handle_file(path), api_name="/read_number"),
            "echo": lambda: echo_client.predict(handle_file(path), api_name="/echo"),
            "pipeline": lambda: reader(path),
        }
        times = {name: [] for name in ways}
        for _ in range(SINGLE):
            for name, call in ways.items():
                times[name].append(seconds(call))
    median = {name: statistics.median(each) for name, each in times.items()}
    print("median: " + ", ".join(f"{name} {1000 * each:.0f} ms" for name, each in median.items()))
    sys.exit(served < wanted or median["app"] >= 2 * median["pipeline"] + median["echo"])


if __name__ == "__main__":
    main()
