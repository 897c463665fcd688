"""
Pictures a second of PyTorch, of ONNX Runtime, and of the Keras model of the classic tutorial, on the same MNIST digits.

    pip install onnx onnxscript onnxruntime keras tensorflow
    python tests/benchmark_backends.py [PICTURES]

With a folder of pictures it first says how far the answers of the exported file are from PyTorch's on each of them, and
exits with 1 where a label differs, or a score by more than 0.001.
The Keras model is that of https://keras.io/examples/vision/mnist_convnet/ with a dense layer of 128, untrained: its
speed does not depend on its weights. All three take turns on batches of 500.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import onnxruntime
import torch
from datasets import load_dataset
from keras import layers

from data_prep.pictures import frames_of
from digit_model import load_checkpoint
from digit_model.folders import find_pictures
from digit_model.onnx_runtime import export, on_onnx_runtime

BATCH, ROUNDS = 500, 20


def tutorial_model() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )


def compare(folder: str) -> None:
    model, processor = load_checkpoint()
    files, differing, furthest = find_pictures([folder]), 0, 0.0
    with tempfile.TemporaryDirectory() as scratch, torch.inference_mode():
        export(model, f"{scratch}/digits.onnx")
        session = onnxruntime.InferenceSession(f"{scratch}/digits.onnx")
        for file in files:
            pages = processor(file, return_tensors="pt")["pixel_values"]
            expected = model(pages).logits.softmax(-1).numpy()
            (scores,) = session.run(None, {"pixel_values": pages.numpy()})
            differing += int(scores.argmax() != expected.argmax())
            furthest = max(furthest, float(abs(scores - expected).max()))
    print(f"{len(files):,} pictures: {differing} labels differ, scores by up to {furthest:.1e}")
    if differing or furthest > 1e-3:
        sys.exit(1)


def main() -> None:
    if len(sys.argv) > 1:
        compare(sys.argv[1])
    frames, _ = frames_of(load_dataset(str(ROOT / "tests" / "data" / "mnist"), split="train"))
    batch = frames.repeat(-(-BATCH // len(frames)), 1, 1, 1)[:BATCH].float() / 255
    torch_model, onnx_model, keras_model = load_checkpoint()[0], on_onnx_runtime(load_checkpoint()[0]), tutorial_model()
    array = batch.permute(0, 2, 3, 1).numpy()
    ways = {
        "PyTorch": lambda: torch_model(batch),
        "ONNX Runtime": lambda: onnx_model(batch),
        f"Keras tutorial model ({keras.backend.backend()})": lambda: keras_model.predict_on_batch(array),
    }
    seconds = dict.fromkeys(ways, float("inf"))
    with torch.inference_mode():
        for _ in range(ROUNDS):
            for name, read in ways.items():
                begin = time.perf_counter()
                read()
                seconds[name] = min(seconds[name], time.perf_counter() - begin)
    print("| model | parameters | pictures a second |\n|---|---|---|")
    parameters = [sum(p.numel() for p in torch_model.classifier.parameters())] * 2 + [keras_model.count_params()]
    for (name, best), count in zip(seconds.items(), parameters):
        print(f"| {name} | {count:,} | {BATCH / best:,.0f} |")


if __name__ == "__main__":
    main()
