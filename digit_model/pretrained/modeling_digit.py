"""A page of handwriting to the digit on it: page -> ink -> frame -> logits."""

import math
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import ModelOutput

from .characters_digit import character_loss, cut_out
from .configuration_digit import DigitConfig
from .frame_digit import DigitFrame
from .pipeline_digit import PIPELINES, SURE_SCORE

NO_LABEL = -1
"""Label of a picture that shows none of the labels: the model is trained to give all of them the same score."""

MAX_DICE_LOSS = 0.3
"""Dice loss of a page's ink, in [0, 1], from which on its frame shows too little of the character to learn from."""

CHARACTER_WEIGHT = 0.01
"""Of the losses of characters and letters, which share no weight with the others, but the clipping of gradients."""

TEACHERS_SHARE = 0.8
"""Of the labels' loss, in [0, 1], that is made up by what teachers answer, where there are any."""

_CENTRE_PRIOR = 0.02  # share of the pixels that an untrained network takes for the centre of a character


@dataclass
class DigitOutput(ModelOutput):
    """
    Args:
        loss (`torch.FloatTensor` of shape `(1,)`, *optional*, returned when any labels are given):
            Cross-entropy of the labels, cross-entropy and Dice loss of the ink, and the loss of the characters.
        logits (`torch.FloatTensor` of shape `(batch_size, num_labels)`):
            Calibrated scores before the softmax; all zero where there is no ink, so that no label stands out.
        frames (`torch.FloatTensor` of shape `(batch_size, 1, frame_size, frame_size)`):
            What the classifier looked at, in [0, 1], ink bright; all zero on a page without ink. Of a page that was
            looked at again, the one that speaks most for the answer.
    """

    loss: torch.FloatTensor | None = None
    logits: torch.FloatTensor | None = None
    frames: torch.FloatTensor | None = None


class DigitConvLayer(nn.Module):
    """A 3x3 convolution, batch normalisation and a ReLU."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1):
        super().__init__()
        self.convolution = nn.Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.normalization = nn.BatchNorm2d(out_channels)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        convolution, normalization = self.convolution, self.normalization
        if normalization.training:
            return self.activation(normalization(convolution(hidden_states)))
        # statistics that stay as they are can be part of the kernel, which spares a pass over all of the memory
        scale = normalization.weight * (normalization.running_var + normalization.eps).rsqrt()
        shift = torch.addcmul(normalization.bias, normalization.running_mean, scale, value=-1)
        kernel = convolution.weight * scale.view(-1, 1, 1, 1)
        return self.activation(
            nn.functional.conv2d(hidden_states, kernel, shift, convolution.stride, convolution.padding)
        )


class DigitStage(nn.Module):
    """Convolutions at one resolution; the first may halve it."""

    def __init__(self, in_channels: int, out_channels: int, depth: int, stride: int = 1):
        super().__init__()
        layers = [DigitConvLayer(in_channels, out_channels, stride)]
        layers += [DigitConvLayer(out_channels, out_channels) for _ in range(depth - 1)]
        self.layers = nn.Sequential(*layers)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.layers(hidden_states)


class DigitStripPooling(nn.Module):
    """
    Tells every position what its whole row, its whole column and the whole page look like (Hou et al., 2020, "Strip
    Pooling"): a rule runs on to the border of the page, the stem of a 4 does not.
    """

    def __init__(self, channels: int):
        super().__init__()
        self.rows = nn.Conv1d(channels, channels, kernel_size=3, padding=1)
        self.columns = nn.Conv1d(channels, channels, kernel_size=3, padding=1)
        self.page = nn.Linear(channels, channels)
        self.activation = nn.ReLU(inplace=True)
        self.projection = nn.Conv2d(channels, channels, kernel_size=1)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        of_rows = hidden_states.mean(3)
        rows = self.rows(of_rows) + self.page(of_rows.mean(2))[:, :, None]
        columns = self.columns(hidden_states.mean(2))
        strips = self.activation(hidden_states + rows[:, :, :, None] + columns[:, :, None, :])
        return hidden_states + self.projection(strips)


class DigitUNet(nn.Module):
    """
    A small U-Net (Ronneberger et al., 2015) on half the resolution of what it looks at: (N, 1, H, W), sides multiples
    of 2 to the power of its stages -> (N, out_channels, H, W).
    """

    def __init__(self, out_channels: int, widths: list[int], depths: list[int]):
        super().__init__()
        self.down = nn.ModuleList(
            nn.Sequential(DigitStage(i, o, depth, stride=2 if number else 1), DigitStripPooling(o))
            for number, (i, o, depth) in enumerate(zip([4, *widths], widths, depths))
        )
        self.lateral = nn.ModuleList(nn.Conv2d(i, o, kernel_size=1) for i, o in zip(widths[1:], widths))
        self.up = nn.ModuleList(DigitConvLayer(width, width) for width in widths[:-1])
        self.head = nn.Conv2d(widths[0], 4 * out_channels, kernel_size=3, padding=1)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        hidden_states = nn.functional.pixel_unshuffle(hidden_states, 2)
        hidden_states = hidden_states.contiguous(memory_format=torch.channels_last)
        skipped = []
        for stage in self.down:
            hidden_states = stage(hidden_states)
            skipped.append(hidden_states)
        for skip, lateral, up in zip(skipped[-2::-1], reversed(self.lateral), reversed(self.up)):
            above = nn.functional.interpolate(lateral(hidden_states), scale_factor=2.0, mode="bilinear")
            hidden_states = up(skip + above)
        return nn.functional.pixel_shuffle(self.head(hidden_states), 2)


class DigitInk(DigitUNet):
    """Page (N, 1, H, W) -> logits (N, 1, H, W) of each pixel being pen, brush or pencil, and not paper or shadow."""

    def __init__(self, config: DigitConfig):
        super().__init__(1, config.ink_hidden_sizes, config.ink_depths)

    def forward(self, pages: torch.Tensor) -> torch.Tensor:
        mean, std = pages.mean((2, 3), keepdim=True), pages.std((2, 3), keepdim=True)
        return super().forward((pages - mean) / (std + 0.05))


class DigitCharacters(DigitUNet):
    """
    Ink (N, 1, H, W) -> for each pixel, (N, 4, H, W), the logits of being the centre of a character and of belonging to
    no character but to a mark, a rule or dirt, and how many `CHARACTER_SIZE` pixels below and to the right the centre
    of its character lies (Cheng et al., 2020, "Panoptic-DeepLab").
    """

    def __init__(self, config: DigitConfig):
        super().__init__(4, config.character_hidden_sizes, config.character_depths)


class DigitClassifier(nn.Module):
    """Stages with max pooling between them, averaged over the frame: frame -> logits of the labels and of no label."""

    def __init__(self, config: DigitConfig):
        super().__init__()
        channels = [1] + config.hidden_sizes
        self.stages = nn.ModuleList(
            DigitStage(i, o, depth) for i, o, depth in zip(channels, channels[1:], config.depths)
        )
        self.pooler = nn.MaxPool2d(2)
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(channels[-1], config.num_labels + 1)

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return self.classify(self.embed(frames))

    def classify(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.head(self.dropout(hidden_states))

    def embed(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames (N, 1, frame_size, frame_size) -> (N, hidden_sizes[-1]), in which alike ones are close together."""
        # channels_last doubles the speed of so small convolutions on a CPU
        hidden_states = frames.contiguous(memory_format=torch.channels_last)
        for stage in self.stages[:-1]:
            hidden_states = self.pooler(stage(hidden_states))
        return self.stages[-1](hidden_states).mean(dim=(-2, -1))


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
    """
    A page, or a frame, to the label of the one character on it. `characters`, which tells those of a number apart, and
    `letters`, which tells the letters of a word beside it by what the classifier sees, are trained with the rest.
    """

    def __init__(self, config: DigitConfig):
        super().__init__(config)
        self.ink = DigitInk(config)
        self.characters = DigitCharacters(config)
        self.frame = DigitFrame(config)
        self.classifier = DigitClassifier(config)
        self.letters = nn.Linear(config.hidden_sizes[-1], 1)
        # named here, and not only in config.json, so that their code is saved with every checkpoint
        config.custom_pipelines = {
            task: {"impl": f"pipeline_digit.{pipeline.__name__}", "pt": ["AutoModelForImageClassification"]}
            for task, pipeline in PIPELINES.items()
        }
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        super()._init_weights(module)
        if module is self.characters.head:  # or it finds thousands (Lin et al., 2017, "Focal loss", 4.1)
            init.normal_(module.weight, std=0.01)
            priors = torch.tensor([_CENTRE_PRIOR, 0.5, 0.5, 0.5], device=module.bias.device)
            init.copy_(module.bias, priors.logit().repeat_interleave(4))
        if module is self.letters:  # none is left out of a number before it has learned which ones there are
            init.constant_(module.bias, -4.0)

    def forward(
        self,
        pixel_values: torch.Tensor | list[torch.Tensor] | None = None,
        frames: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        ink_targets: torch.Tensor | None = None,
        strings: torch.Tensor | None = None,
        character_targets: torch.Tensor | None = None,
        character_pairs: torch.Tensor | None = None,
        letter_targets: torch.Tensor | None = None,
        smoothing: float = 0.0,
        teachers: list[nn.Module] | None = None,
        return_dict: bool | None = None,
    ) -> DigitOutput | tuple[torch.Tensor, ...]:
        """
        Args:
            pixel_values (`torch.FloatTensor` of shape `(batch_size, 1, size, size)`, or a list of `(1, size, size)`):
                Pages in [0, 1]; those of side `config.frame_size` are frames already and go straight to the
                classifier. A list may hold both.
            frames (`torch.FloatTensor` of shape `(n, 1, frame_size, frame_size)`, *optional*):
                Frames that are read after the pages, in the same batch.
            labels (`torch.LongTensor` of shape `(batch_size + n + k,)`, *optional*):
                Of the pages, the frames and the characters, in this order: indices in `[0, config.num_labels)` for the
                cross-entropy, [`NO_LABEL`] for a picture of something else, -100 for one that does not count.
            ink_targets (`torch.FloatTensor` of shape `(batch_size, 1, size, size)`, *optional*):
                Which share of each pixel of the pages is ink, in [0, 1]. Pages that come with it need not be square; of
                such pages no label counts.
            strings (`torch.FloatTensor` of shape `(m, 1, height, width)`, *optional*):
                Ink of several characters in [0, 1], to learn from which of it belongs together.
            character_targets (`torch.LongTensor` of shape `(m, height, width)`, *optional*):
                The number of the character that each of their pixels belongs to, from 1 on, 0 where there is no ink, -1
                where it belongs to none.
            character_pairs (`torch.LongTensor` of shape `(k, 3)`, *optional*):
                A string and the numbers of two of its characters, to be read as one, as they are told apart, after the
                frames; a single character is named twice.
            letter_targets (`torch.LongTensor` of shape `(k,)`, *optional*):
                Of the same: 1 for a letter of a word, 0 for what is none, -100 for what does not count.
            smoothing (`float`, *optional*, defaults to 0.0):
                Share of each label, in [0, 1), that the loss spreads over all of them, as some pictures people name
                differently (Szegedy et al., 2016, "Rethinking the Inception architecture").
            teachers (`list[torch.nn.Module]`, *optional*):
                Classifiers of the same labels, frames to outputs, whose mean answer, where it is right, makes up
                `TEACHERS_SHARE` of the labels' loss (Hinton et al., 2015, "Distilling the Knowledge in a Neural
                Network").
            return_dict (`bool`, *optional*):
                Whether to return a [`DigitOutput`] instead of a tuple.
        """
        losses, parts, logits = [], [], None
        if pixel_values is not None and ink_targets is not None:
            ink_logits = self.ink(pixel_values).float()
            cross_entropy, dice = _ink_losses(ink_logits, ink_targets)
            losses += [3 * cross_entropy, dice.mean()]
            if labels is not None:
                on_pages, labels = labels[: len(dice)], labels[len(dice) :]
            if ink_logits.shape[-2] == ink_logits.shape[-1]:  # others have no frame
                parts.append(self.frame(ink_logits.sigmoid()))
                # a page whose ink is not found would teach to guess, and a piece of a rule that a plain 1 is nothing
                if labels is not None:
                    is_fair = torch.where(on_pages == NO_LABEL, ~_is_stem(parts[0]), dice < MAX_DICE_LOSS)
                    labels = torch.cat([on_pages.where(is_fair, -100), labels])
        elif pixel_values is not None:
            parts.append(self.to_frames(pixel_values))
        if frames is not None:
            parts.append(frames)
        if character_targets is not None:
            maps = self.characters(strings).float()
            losses.append(CHARACTER_WEIGHT * character_loss(maps, character_targets))
            if character_pairs is not None and len(character_pairs):  # few strings may hold no whole one
                canvases, is_fair = cut_out(strings, maps, character_targets, character_pairs, self.config.image_size)
                parts.append(self.frame(canvases))
                before, of_strings = labels[: -len(character_pairs)], labels[-len(character_pairs) :]
                labels = torch.cat([before, of_strings.where(is_fair, -100)])
                letter_targets = None if letter_targets is None else letter_targets.where(is_fair, -100)
        if parts:
            frames = torch.cat(parts)
            hidden_states = self.classifier.embed(frames)
            outputs = self.classifier.classify(hidden_states).float()
            logits = self._logits(outputs, frames)
            if letter_targets is not None:
                of_characters = hidden_states[len(hidden_states) - len(letter_targets) :]
                losses.append(CHARACTER_WEIGHT * self._letter_loss(of_characters, letter_targets))
            if labels is not None:
                loss = self._label_loss(outputs, labels, smoothing)
                if teachers:
                    loss = loss.lerp(_teachers_loss(outputs, labels, frames, teachers), TEACHERS_SHARE)
                losses.append(loss)
            if pixel_values is not None and ink_targets is None and not self.training:
                frames, logits = self._look_again(pixel_values, frames, logits)
        output = DigitOutput(loss=sum(losses) if losses else None, logits=logits, frames=frames)
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
        if pixel_values.shape[0] == 0:  # a batch of frames alone; pixel_unshuffle takes no empty one
            return pixel_values.new_zeros(0, 1, self.config.frame_size, self.config.frame_size)
        return self.frame(self.to_ink(pixel_values)).to(pixel_values.dtype)

    def _look_again(
        self, pixel_values: torch.Tensor | list[torch.Tensor], frames: torch.Tensor, logits: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Frames and logits of a batch that begins with these pages, of which those that are not read surely are looked
        at smaller and larger too.
        """
        is_unsure = logits.softmax(-1).amax(-1) < SURE_SCORE
        if torch.compiler.is_exporting():  # a graph has no branches: it looks at all of them
            pages, chosen = pixel_values, torch.arange(len(pixel_values))
        else:
            is_page = [page.shape[-1] != self.config.frame_size for page in pixel_values]
            chosen = [i for i, pair in enumerate(zip(is_page, is_unsure.tolist())) if all(pair)]  # a GPU waits but once
            if not chosen:
                return frames, logits
            pages = torch.stack([pixel_values[i] for i in chosen])
            chosen = torch.tensor(chosen, device=logits.device)
        again = self._at_all_sizes(pages, frames[chosen], logits[chosen])
        is_unsure = is_unsure[chosen].view(-1, 1, 1, 1)
        frames = frames.index_copy(0, chosen, again[0].where(is_unsure, frames[chosen]))
        logits = logits.index_copy(0, chosen, again[1].where(is_unsure[..., 0, 0], logits[chosen]))
        return frames, logits

    def _at_all_sizes(
        self, pages: torch.Tensor, frames: torch.Tensor, logits: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        The mean logits of pages over all sizes (Simonyan & Zisserman, 2015, "Very deep convolutional networks for
        large-scale image recognition", 4.2), and the frame that speaks most for that answer.
        """
        looks = [(frames, logits)]
        for scale in self.config.look_scales:
            side = DigitFrame.cells * max(1, round(scale * pages.shape[-1] / DigitFrame.cells))
            frames = self.to_frames(nn.functional.interpolate(pages, (side, side), mode="bilinear"))
            looks.append((frames, self._logits(self.classifier(frames).float(), frames)))
        frames, logits = map(torch.stack, zip(*looks))  # (looks, N, ...)
        mean = logits.mean(0)
        for_answer = logits.log_softmax(-1).gather(2, mean.argmax(1).expand(len(looks), -1)[..., None])
        best = for_answer.argmax(0).view(1, -1, 1, 1, 1).expand(-1, -1, *frames.shape[2:])
        return frames.gather(0, best)[0], mean

    def to_ink(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """Pages (N, 1, H, W) in [0, 1] -> the share of each pixel that is ink, in [0, 1]; frames are ink already."""
        is_frame = pixel_values.shape[-1] == self.config.frame_size
        return pixel_values if is_frame else self.ink(pixel_values).sigmoid()

    def _logits(self, outputs: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
        has_ink = frames.detach().amax(dim=(-3, -2, -1)).ge(self.config.min_contrast)
        return self._spread(outputs) * has_ink[:, None] / self.config.temperature

    def letter_logits(self, frames: torch.Tensor) -> torch.Tensor:
        """Frames (N, 1, frame_size, frame_size) -> (N,), the logit of each being a letter, such as those of a word."""
        return self.letters(self.classifier.embed(frames)).float()[:, 0]

    def _letter_loss(self, hidden_states: torch.Tensor, letter_targets: torch.Tensor) -> torch.Tensor:
        """
        Cross-entropy in which all letters count as much as all others. The classifier learns nothing of it: letters
        such as o and l it is to take for digits.
        """
        logits = self.letters(hidden_states.detach()).float()[:, 0]
        loss = nn.functional.binary_cross_entropy_with_logits(
            logits, letter_targets.float().clamp(min=0), reduction="none"
        )
        chosen = [letter_targets == label for label in (0, 1)]
        return sum((loss * of_kind).sum() / of_kind.sum().clamp(min=1) for of_kind in chosen)

    def _label_loss(self, outputs: torch.Tensor, labels: torch.Tensor, smoothing: float = 0.0) -> torch.Tensor:
        """Cross-entropy, with "none of the labels" as one label more."""
        labels = labels.where(labels != NO_LABEL, self.config.num_labels)
        loss = nn.functional.cross_entropy(outputs, labels, reduction="sum", label_smoothing=smoothing)
        return loss / (labels != -100).sum().clamp(min=1)

    def _spread(self, outputs: torch.Tensor) -> torch.Tensor:
        """Log-scores of the labels, to which the score of none of them is added in equal shares: it lifts no label."""
        log_scores = outputs.log_softmax(-1)
        nothing = log_scores[:, -1:] - math.log(self.config.num_labels)
        return torch.logaddexp(log_scores[:, :-1], nothing)


def _teachers_loss(
    outputs: torch.Tensor, labels: torch.Tensor, frames: torch.Tensor, teachers: list[nn.Module]
) -> torch.Tensor:
    """
    Cross-entropy with the teachers' mean answer, "none of the labels" included, where that is right. A label that they
    miss is for `_label_loss` alone, so that a new way of writing it can be learned; what they take for a label and
    shows none is none.
    """
    with torch.no_grad():
        answers = torch.stack([teacher(frames).float().log_softmax(-1) for teacher in teachers]).mean(0).softmax(-1)
    has_none = labels == NO_LABEL
    is_right = answers.argmax(-1) == labels.where(~has_none, answers.shape[1] - 1)
    as_taught = nn.functional.cross_entropy(outputs, answers, reduction="none")
    losses = torch.where(is_right, as_taught, -outputs.log_softmax(-1)[:, -1])[is_right | has_none]
    return losses.sum() / max(1, len(losses))


def _is_stem(frames: torch.Tensor) -> torch.Tensor:
    """(N, 1, S, S) -> bool (N,), whether they show one upright stroke, as most people write a 1."""
    is_ink = frames[:, 0] > 0.5
    width, height = (is_ink.any(axis).sum(1) for axis in (1, 2))
    return (width <= height / 4) & (height >= frames.shape[-1] / 2)


def _ink_losses(logits: torch.Tensor, ink_targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """
    (N, 1, H, W) -> cross-entropy of every pixel, and the Dice loss (N,) of every page, in [0, 1], which counts a
    hairline as much as a marker.
    """
    ink = logits.sigmoid()
    overlap, total = (ink * ink_targets).sum((1, 2, 3)), (ink + ink_targets).sum((1, 2, 3))
    cross_entropy = nn.functional.binary_cross_entropy_with_logits(logits, ink_targets)
    return cross_entropy, 1 - (2 * overlap + 1) / (total + 1)
