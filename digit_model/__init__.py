"""
A handwritten-digit recogniser as a transformers model.

    from transformers import pipeline
    import digit_model

    classifier = pipeline("image-classification", model=digit_model.PRETRAINED, trust_remote_code=True)
"""

from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageClassification
from transformers.pipelines import PIPELINE_REGISTRY

from .checkpoint import PRETRAINED, file_of, load_checkpoint
from .configuration_digit import DigitConfig
from .errors import CheckpointError
from .image_processing_digit import DigitImageProcessor, UnreadableImageError
from .modeling_digit import DigitForImageClassification, DigitOutput
from .pipeline_digit import DigitImageClassificationPipeline, NumberReadingPipeline

AutoConfig.register("digit", DigitConfig)
AutoImageProcessor.register(DigitConfig, image_processor_classes={"pil": DigitImageProcessor})
AutoModelForImageClassification.register(DigitConfig, DigitForImageClassification)
PIPELINE_REGISTRY.register_pipeline(
    "number-reading",
    pipeline_class=NumberReadingPipeline,
    pt_model=AutoModelForImageClassification,
    default={"model": (PRETRAINED, "main")},
    type="image",
)

# save_pretrained copies the code files of these beside the weights, so that a checkpoint needs no installation
DigitConfig.register_for_auto_class()
DigitImageProcessor.register_for_auto_class()
DigitForImageClassification.register_for_auto_class("AutoModelForImageClassification")

__all__ = [
    "PRETRAINED",
    "CheckpointError",
    "DigitConfig",
    "DigitForImageClassification",
    "DigitImageClassificationPipeline",
    "DigitImageProcessor",
    "DigitOutput",
    "NumberReadingPipeline",
    "UnreadableImageError",
    "file_of",
    "load_checkpoint",
]
