"""Loading a checkpoint, with one sentence where that fails."""

from pathlib import Path

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import AutoConfig
from transformers.utils import cached_file

from .configuration_digit import DigitConfig
from .errors import CheckpointError, first_line
from .image_processing_digit import DigitImageProcessor
from .modeling_digit import DigitForImageClassification

PRETRAINED = str(Path(__file__).parent / "pretrained")
"""The checkpoint that ships with the repository."""


def load_checkpoint(
    name: str = PRETRAINED, revision: str | None = None
) -> tuple[DigitForImageClassification, DigitImageProcessor]:
    """
    Args:
        name: A folder that `save_pretrained` wrote, or a model id on the Hub.
        revision: A tag, branch or commit on the Hub, the newest commit if none.

    Returns:
        The model, in evaluation mode, and its image processor.

    Raises:
        CheckpointError: If it is missing, incomplete, damaged or another kind of model.
    """
    try:
        config = AutoConfig.from_pretrained(name, revision=revision)
        if not isinstance(config, DigitConfig):
            raise CheckpointError(f"{name} is a {config.model_type} model, not a digit model.")
        model, info = DigitForImageClassification.from_pretrained(
            name, revision=revision, config=config, output_loading_info=True
        )
        processor = DigitImageProcessor.from_pretrained(name, revision=revision)
    except CheckpointError:
        raise
    except (OSError, RuntimeError, ValueError, SafetensorError, StrictDataclassError) as error:
        raise CheckpointError(
            f"No digit model can be loaded from {name} ({first_line(error)}); name a folder with config.json, "
            "model.safetensors and preprocessor_config.json, or a model on the Hub."
        ) from None
    if info["missing_keys"]:
        raise CheckpointError(f"{name} lacks the weights {', '.join(sorted(info['missing_keys'])[:3])}; save it again.")
    return model.eval(), processor


def file_of(name: str, file: str, revision: str | None = None) -> str | None:
    """The path, on this machine, of a file that lies beside a checkpoint's weights; None where there is none."""
    try:
        return cached_file(name, file, revision=revision)
    except OSError:
        return None
