"""The configuration of a digit model."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig


@strict
class DigitConfig(PreTrainedConfig):
    r"""
    Everything that fixes the shape of a `DigitForImageClassification`.

    Args:
        image_size (`int`, *optional*, defaults to 128):
            Side of the square page, in pixels.
        frame_size (`int`, *optional*, defaults to 28):
            Side of the frame that the classifier looks at, in pixels. A picture of exactly this size whose ink is
            bright on a dark border is taken as a frame.
        digit_size (`int`, *optional*, defaults to 20):
            Longest side of a digit inside its frame, in pixels, as in MNIST.
        min_contrast (`float`, *optional*, defaults to 0.15):
            Contrast with the border, in [0, 1], below which a page counts as blank.
        hidden_sizes (`list[int]`, *optional*, defaults to `[32, 64, 128]`):
            Channels of each stage of the classifier.
        depths (`list[int]`, *optional*, defaults to `[2, 2, 2]`):
            Convolutions in each stage of the classifier; every stage but the last halves the resolution.
        dropout (`float`, *optional*, defaults to 0.1):
            Share of the pooled features that is dropped in training, in [0, 1).

    Raises:
        StrictDataclassError: If a value has the wrong type or lies outside its range.

    Example:

    ```python
    >>> from digit_model import DigitConfig, DigitForImageClassification

    >>> model = DigitForImageClassification(DigitConfig())
    ```
    """

    model_type = "digit"
    keys_to_ignore_at_inference = ["frames"]

    image_size: int = 128
    frame_size: int = 28
    digit_size: int = 20
    min_contrast: float = 0.15
    hidden_sizes: list[int] | tuple[int, ...] = (32, 64, 128)
    depths: list[int] | tuple[int, ...] = (2, 2, 2)
    dropout: float = 0.1

    def __post_init__(self, **kwargs):
        self.hidden_sizes = list(self.hidden_sizes)
        self.depths = list(self.depths)
        if self.id2label is None and "num_labels" not in kwargs:
            self.id2label = {index: str(index) for index in range(10)}
            self.label2id = {label: index for index, label in self.id2label.items()}
        super().__post_init__(**kwargs)

    def validate_sizes(self):
        """Check that a digit fits its frame, and a frame its page."""
        if not 0 < self.digit_size <= self.frame_size < self.image_size:
            raise ValueError(
                "digit_size, frame_size and image_size must rise from above 0 (digit_size may equal frame_size), got "
                f"{self.digit_size}, {self.frame_size} and {self.image_size}"
            )

    def validate_stages(self):
        """Check that every stage has its width and depth, and that the frame survives the halvings."""
        if len(self.hidden_sizes) != len(self.depths) or not self.depths:
            raise ValueError(
                f"hidden_sizes and depths must name the same stages, got {self.hidden_sizes} and {self.depths}"
            )
        if min(self.hidden_sizes + self.depths) < 1:
            raise ValueError(f"hidden_sizes and depths must be positive, got {self.hidden_sizes} and {self.depths}")
        if self.frame_size >> (len(self.depths) - 1) == 0:
            raise ValueError(f"{len(self.depths)} stages halve a frame of {self.frame_size} pixels to nothing")

    def validate_shares(self):
        """Check that shares lie inside their ranges."""
        if not 0 <= self.min_contrast <= 1:
            raise ValueError(f"min_contrast must lie in [0, 1], got {self.min_contrast}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {self.dropout}")
