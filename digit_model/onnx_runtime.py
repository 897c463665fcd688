"""The model for ONNX Runtime: one file of page -> scores, and its networks as a faster backend on a CPU."""

import contextlib
import copy
import importlib.util
import io
import json
import logging
from pathlib import Path

import torch
from torch import nn

from .errors import CheckpointError
from .modeling_digit import DigitForImageClassification


class _Scores(nn.Module):
    """Page -> scores, without the rest of a transformers model's output."""

    def __init__(self, model: DigitForImageClassification):
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        return self.model(pixel_values).logits.softmax(-1)


class _Embedding(nn.Module):
    """All stages of a classifier as one, and averaged already."""

    def __init__(self, classifier: nn.Module):
        super().__init__()
        self.classifier = copy.deepcopy(classifier)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return self.classifier.embed(frames)[..., None, None]


class _OnnxNetwork(nn.Module):
    """One of the networks, run by ONNX Runtime; float32 on the CPU in, and out."""

    def __init__(self, network: nn.Module, example: torch.Tensor, sizes: dict[int, str]):
        super().__init__()
        import onnxruntime

        self.network = network  # whose dtype and device the model tells
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        self.session = onnxruntime.InferenceSession(_to_onnx(network, example, "input", "output", sizes), options)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        (output,) = self.session.run(None, {"input": inputs.contiguous().numpy()})
        return torch.from_numpy(output)


def export(model: DigitForImageClassification, file: str | Path) -> None:
    """
    Writes the way from a page to its scores: `pixel_values` float32 (N, 1, S, S) in [0, 1] -> `scores` (N, num_labels),
    each row of which sums to 1. The labels and the rejection threshold are among the file's metadata.

    Raises:
        CheckpointError: If what it takes is not installed.
    """
    need("onnx", "onnxscript")
    import onnx

    size = model.config.image_size
    page = torch.rand(2, 1, size, size)
    graph = onnx.load_from_string(_to_onnx(_Scores(model), page, "pixel_values", "scores", {0: "batch"}))
    labels = list(model.config.id2label.values())
    threshold = model.config.rejection_threshold
    onnx.helper.set_model_props(graph, {"labels": json.dumps(labels), "rejection_threshold": str(threshold)})
    onnx.save(graph, str(file))


def on_onnx_runtime(model: DigitForImageClassification) -> DigitForImageClassification:
    """Lets ONNX Runtime run the networks of a model from now on, on the CPU."""
    size, frame = model.config.image_size, model.config.frame_size
    of_pages = {0: "batch", 2: "height", 3: "width"}
    model.ink = _OnnxNetwork(model.ink, torch.rand(2, 1, size, size + 32), of_pages)
    model.characters = _OnnxNetwork(model.characters, torch.rand(2, 1, size, size + 32), of_pages)
    embedding = _OnnxNetwork(_Embedding(model.classifier), torch.rand(2, 1, frame, frame), {0: "batch"})
    model.classifier.stages = nn.ModuleList([embedding])
    return model


def _to_onnx(module: nn.Module, example: torch.Tensor, inputs: str, outputs: str, sizes: dict[int, str]) -> bytes:
    """`sizes` names the axes that may have any length."""
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        program = torch.onnx.export(
            module.eval().to(memory_format=torch.contiguous_format),
            (example,),
            input_names=[inputs],
            output_names=[outputs],
            dynamic_shapes=({axis: torch.export.Dim.DYNAMIC for axis in sizes},),
            dynamo=True,
            verbose=False,
        )
    return program.model_proto.SerializeToString()


def need(*packages: str) -> None:
    """
    Raises:
        CheckpointError: If one of the packages is not installed.
    """
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise CheckpointError(f"This takes {' and '.join(missing)}: pip install {' '.join(packages)}.")
