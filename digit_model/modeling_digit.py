"""A page of handwriting to the digit on it: page -> ink -> frame -> logits."""

from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import ModelOutput

from .configuration_digit import DigitConfig
from .pipeline_digit import PIPELINES


@dataclass
class DigitOutput(ModelOutput):
    """
    Args:
        loss (`torch.FloatTensor` of shape `(1,)`, *optional*, returned when `labels` are given):
            Cross-entropy.
        logits (`torch.FloatTensor` of shape `(batch_size, num_labels)`):
            Scores before the softmax; all zero where the page shows no ink, so that no label stands out.
        frames (`torch.FloatTensor` of shape `(batch_size, 1, frame_size, frame_size)`):
            What the classifier looked at, in [0, 1], ink bright; all zero on a page without ink.
    """

    loss: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None
    frames: torch.FloatTensor | None = None


class DigitInk(nn.Module):
    """How far each pixel of a page stands out from the tone of the page's border."""

    def __init__(self, config: DigitConfig):
        super().__init__()
        self.min_contrast = config.min_contrast

    def forward(self, pages: torch.Tensor) -> torch.Tensor:
        top, bottom, left, right = pages[:, :, 0], pages[:, :, -1], pages[..., 0], pages[..., -1]
        tone = torch.cat([top, bottom, left, right], dim=-1).median(dim=-1).values  # (N, 1)
        contrast = (pages - tone[..., None, None]).abs()
        strongest = contrast.amax(dim=(-2, -1), keepdim=True)
        return contrast / strongest.clamp(min=1e-6) * (strongest >= self.min_contrast)


class DigitFrame(nn.Module):
    """
    Ink to MNIST's own frame: longest side 20 px, aspect kept, centre of mass in the middle of 28x28 (LeCun et al.,
    http://yann.lecun.com/exdb/mnist/).

    Cropping, scaling and centring are two batched matrix products, one for rows and one for columns, whose weights
    are those of an antialiased bilinear resize: any page size, any device, no loop over pictures.
    """

    def __init__(self, config: DigitConfig, min_ink: float = 0.3):
        super().__init__()
        self.frame_size = config.frame_size
        self.digit_size = config.digit_size
        self.min_ink = min_ink  # weaker ink (blur, scanner dust) moves no edge of the digit's box

    def forward(self, ink: torch.Tensor) -> torch.Tensor:
        ink = ink.squeeze(1).float()  # (N, S, S)
        is_ink = ink >= self.min_ink
        longest = torch.maximum(self._extent(is_ink.any(2)), self._extent(is_ink.any(1)))  # (N,)
        step = longest.clamp(min=1) / self.digit_size  # page pixels a frame pixel
        rows = self._resize_weights(ink.sum(2), step)
        columns = self._resize_weights(ink.sum(1), step)
        frames = rows @ ink @ columns.transpose(1, 2)
        frames = frames / frames.amax(dim=(1, 2), keepdim=True).clamp(min=1e-6)
        return frames.unsqueeze(1)

    def _extent(self, is_ink: torch.Tensor) -> torch.Tensor:
        """(N, S) bool -> (N,): pixels from the first to the last that are ink, 0 where there is none."""
        positions = torch.arange(is_ink.shape[1], device=is_ink.device)
        first = torch.where(is_ink, positions, is_ink.shape[1]).amin(1)
        last = torch.where(is_ink, positions, -1).amax(1)
        return (last - first + 1).clamp(min=0)

    def _resize_weights(self, profile: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        """(N, S) ink along one axis -> (N, frame_size, S): the share of each page pixel in each frame pixel."""
        pages = torch.arange(profile.shape[1], device=profile.device) + 0.5
        frames = torch.arange(self.frame_size, device=profile.device) + 0.5 - self.frame_size / 2
        centre = (profile * pages).sum(1) / profile.sum(1).clamp(min=1e-6)
        wanted = centre[:, None] + frames * step[:, None]  # (N, frame_size), in page pixels
        distance = (wanted[:, :, None] - pages).abs()
        reach = step.clamp(min=1)[:, None, None]
        return (1 - distance / reach).clamp(min=0) / reach


class DigitConvLayer(nn.Module):
    """A 3x3 convolution, batch normalisation and a ReLU."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False)
        self.normalization = nn.BatchNorm2d(out_channels)
        self.activation = nn.ReLU()

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.activation(self.normalization(self.convolution(hidden_states)))


class DigitStage(nn.Module):
    """Convolutions at one resolution."""

    def __init__(self, in_channels: int, out_channels: int, depth: int):
        super().__init__()
        channels = [in_channels] + [out_channels] * depth
        self.layers = nn.Sequential(*[DigitConvLayer(i, o) for i, o in zip(channels, channels[1:])])

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.layers(hidden_states)


class DigitClassifier(nn.Module):
    """Stages with a halving between them, averaged over the frame: frame -> logits."""

    def __init__(self, config: DigitConfig):
        super().__init__()
        channels = [1] + config.hidden_sizes
        self.stages = nn.ModuleList(
            DigitStage(i, o, depth) for i, o, depth in zip(channels, channels[1:], config.depths)
        )
        self.pooler = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(channels[-1], config.num_labels)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        # channels_last doubles the speed of so small convolutions on a CPU
        hidden_states = frames.contiguous(memory_format=torch.channels_last)
        for stage in self.stages[:-1]:
            hidden_states = self.pooler(stage(hidden_states))
        hidden_states = self.stages[-1](hidden_states)
        return self.head(self.dropout(hidden_states.mean(dim=(-2, -1))))


class DigitPreTrainedModel(PreTrainedModel):
    """Weight initialisation, and loading and saving as every transformers model has them."""

    config_class = DigitConfig
    base_model_prefix = "digit"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    _no_split_modules = ["DigitConvLayer"]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        super()._init_weights(module)
        if isinstance(module, nn.Conv2d):
            init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class DigitForImageClassification(DigitPreTrainedModel):
    """The way of a picture through the project, from the page on: ink, frame and classifier."""

    def __init__(self, config: DigitConfig):
        super().__init__(config)
        self.ink = DigitInk(config)
        self.frame = DigitFrame(config)
        self.classifier = DigitClassifier(config)
        # named here, and not only in config.json, so that their code is saved with every checkpoint
        config.custom_pipelines = {
            task: {"impl": f"pipeline_digit.{pipeline.__name__}", "pt": ["AutoModelForImageClassification"]}
            for task, pipeline in PIPELINES.items()
        }
        self.post_init()

    def forward(
        self,
        pixel_values: torch.Tensor | list[torch.Tensor],
        labels: torch.Tensor | None = None,
        return_dict: bool | None = None,
    ) -> DigitOutput | tuple[torch.Tensor, ...]:
        """
        Args:
            pixel_values (`torch.FloatTensor` of shape `(batch_size, 1, size, size)`, or a list of `(1, size, size)`):
                Pages in [0, 1]; those of side `config.frame_size` are frames already and go straight to the
                classifier. A list may hold both.
            labels (`torch.LongTensor` of shape `(batch_size,)`, *optional*):
                Indices in `[0, config.num_labels)` for the cross-entropy.
            return_dict (`bool`, *optional*):
                Whether to return a [`DigitOutput`] instead of a tuple.
        """
        frames = self.to_frames(pixel_values)
        has_ink = frames.amax(dim=(-3, -2, -1)).ge(self.config.min_contrast)
        logits = self.classifier(frames) * has_ink[:, None]
        loss = nn.functional.cross_entropy(logits.float(), labels) if labels is not None else None
        output = DigitOutput(loss=loss, logits=logits, frames=frames)
        return output if return_dict or (return_dict is None and self.config.return_dict) else output.to_tuple()

    def to_frames(self, pixel_values: torch.Tensor | list[torch.Tensor]) -> torch.Tensor:
        """Pages and frames, as `forward` takes them -> frames (N, 1, frame_size, frame_size) in [0, 1]."""
        if isinstance(pixel_values, list):
            is_frame = torch.tensor([page.shape[-1] == self.config.frame_size for page in pixel_values])
            frames = pixel_values[0].new_zeros(len(pixel_values), 1, self.config.frame_size, self.config.frame_size)
            for chosen in (is_frame.nonzero().flatten(), (~is_frame).nonzero().flatten()):
                if len(chosen):
                    frames[chosen] = self.to_frames(torch.stack([pixel_values[index] for index in chosen]))
            return frames
        if pixel_values.shape[-1] == self.config.frame_size:
            return pixel_values
        return self.frame(self.ink(pixel_values))
