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
        ink_hidden_sizes (`list[int]`, *optional*, defaults to `[24, 48, 64, 96]`):
            Channels of each stage of the ink network; the first works on half the page's resolution, every other one
            on half of that before it.
        ink_depths (`list[int]`, *optional*, defaults to `[1, 2, 2, 2]`):
            Convolutions in each stage of the ink network.
        character_hidden_sizes (`list[int]`, *optional*, defaults to `[24, 48, 64, 96]`):
            Channels of each stage of the network that tells characters apart, which is made like the ink network.
        character_depths (`list[int]`, *optional*, defaults to `[1, 2, 2, 2]`):
            Convolutions in each stage of the network that tells characters apart.
        look_scales (`list[float]`, *optional*, defaults to `[0.75, 1.25, 1.5]`):
            Sizes, as shares of its own, at which a page or number is looked at again that is not read surely at first.
        min_contrast (`float`, *optional*, defaults to 0.15):
            Brightest pixel, in [0, 1], below which a frame counts as empty.
        hidden_sizes (`list[int]`, *optional*, defaults to `[32, 64, 128]`):
            Channels of each stage of the classifier.
        depths (`list[int]`, *optional*, defaults to `[2, 3, 3]`):
            Convolutions in each stage of the classifier; every stage but the last halves the resolution.
        dropout (`float`, *optional*, defaults to 0.1):
            Share of the pooled features that is dropped in training, in [0, 1).
        temperature (`float`, *optional*, defaults to 1.0):
            What the classifier's logits are divided by, fitted on validation pictures after training so that a score
            of 0.9 is right nine times in ten.
        rejection_threshold (`float`, *optional*, defaults to 0.5):
            Top score, in [0, 1], below which an answer should not be believed: the picture shows no character, or one
            that could be several.
        number_powers (`list[float]`, *optional*, defaults to `[1.0, 0.0]`):
            To which powers the scores of a sign's label and of its being one character are multiplied to its share of
            a number's score, fitted on synthetic numbers so that a score of 0.9 is right nine times in ten.
        number_threshold (`float`, *optional*, defaults to 0.95):
            Share of a number's score, in [0, 1], below which a sign is shown as unreadable.

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
    ink_hidden_sizes: list[int] | tuple[int, ...] = (24, 48, 64, 96)
    ink_depths: list[int] | tuple[int, ...] = (1, 2, 2, 2)
    character_hidden_sizes: list[int] | tuple[int, ...] = (24, 48, 64, 96)
    character_depths: list[int] | tuple[int, ...] = (1, 2, 2, 2)
    look_scales: list[float] | tuple[float, ...] = (0.75, 1.25, 1.5)
    min_contrast: float = 0.15
    hidden_sizes: list[int] | tuple[int, ...] = (32, 64, 128)
    depths: list[int] | tuple[int, ...] = (2, 3, 3)
    dropout: float = 0.1
    temperature: float = 1.0
    rejection_threshold: float = 0.5
    number_powers: list[float] | tuple[float, ...] = (1.0, 0.0)
    number_threshold: float = 0.95

    def __post_init__(self, **kwargs):
        for part in ("ink_", "character_", ""):
            for name in (f"{part}hidden_sizes", f"{part}depths"):
                setattr(self, name, list(getattr(self, name)))
        self.look_scales, self.number_powers = list(self.look_scales), list(self.number_powers)
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
        """Check that every stage has its width and depth, and that page and frame survive the halvings."""
        for part, widths, depths in (
            ("ink_", self.ink_hidden_sizes, self.ink_depths),
            ("character_", self.character_hidden_sizes, self.character_depths),
            ("", self.hidden_sizes, self.depths),
        ):
            names = f"{part}hidden_sizes and {part}depths"
            if len(widths) != len(depths) or not depths:
                raise ValueError(f"{names} must name the same stages, got {widths} and {depths}")
            if min(widths + depths) < 1:
                raise ValueError(f"{names} must be positive, got {widths} and {depths}")
        if self.image_size % 32:
            raise ValueError(f"image_size must be a multiple of 32, got {self.image_size}")
        for part, depths, side in (("ink", self.ink_depths, 32), ("character", self.character_depths, 16)):
            if 2 ** len(depths) > side:
                raise ValueError(
                    f"{part}_depths has {len(depths)} stages, and its pages are multiples of {side} pixels"
                )
        if self.frame_size >> (len(self.depths) - 1) == 0:
            raise ValueError(f"{len(self.depths)} stages halve a frame of {self.frame_size} pixels to nothing")

    def validate_shares(self):
        """Check that shares lie inside their ranges."""
        if min(self.look_scales, default=1) <= 0:
            raise ValueError(f"look_scales must be above 0, got {self.look_scales}")
        if not 0 <= self.min_contrast <= 1:
            raise ValueError(f"min_contrast must lie in [0, 1], got {self.min_contrast}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {self.dropout}")
        for name in ("rejection_threshold", "number_threshold"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must lie in [0, 1], got {getattr(self, name)}")
        if len(self.number_powers) != 2 or min(self.number_powers) < 0:
            raise ValueError(f"number_powers must be two numbers of at least 0, got {self.number_powers}")
        if not self.temperature > 0:
            raise ValueError(f"temperature must be above 0, got {self.temperature}")
