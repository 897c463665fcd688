"""
Pictures a second of PyTorch, of ONNX Runtime, and of the Keras model of the classic tutorial, on the same MNIST digits.

    pip install onnx onnxscript onnxruntime keras tensorflow
    python tests/benchmark_backends.py

The Keras model is that of https://keras.io/examples/vision/mnist_convnet/ with a dense layer of 128, untrained: its
speed does not depend on its weights. All three take turns on batches of 500.
"""

import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import torch
from datasets import load_dataset
from keras import layers

from data_prep.pictures import frames_of
from digit_model import load_checkpoint
from digit_model.onnx_runtime import on_onnx_runtime

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


def main() -> None:
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
