"""Ink to a frame: the one character on a page, and not the dirt beside it, scaled and centred as in MNIST."""

import torch
from torch import nn

from .characters_digit import MIN_INK
from .configuration_digit import DigitConfig


class DigitFrame(nn.Module):
    """
    Ink to MNIST's own frame: longest side 20 px, aspect kept, centre of mass in the middle of 28x28 (LeCun et al.,
    http://yann.lecun.com/exdb/mnist/).

    Cropping, scaling and centring are two batched matrix products, one for rows and one for columns, whose weights
    are those of an antialiased bilinear resize: any page size, any device, no loop over pictures.
    """

    min_ink = MIN_INK  # weaker ink (blur, dust) moves no edge of the digit's box
    cells = 32  # along each side of the page, to see which ink belongs together
    min_share = 0.12  # of the largest cluster's ink, below which another one is dirt

    def __init__(self, config: DigitConfig):
        super().__init__()
        self.frame_size = config.frame_size
        self.digit_size = config.digit_size

    def forward(self, ink: torch.Tensor) -> torch.Tensor:
        ink = ink.squeeze(1).float()  # (N, S, S)
        ink = ink * self._character_box(ink)
        is_ink = ink >= self.min_ink
        longest = torch.maximum(_span(is_ink.any(2)).sum(1), _span(is_ink.any(1)).sum(1))
        step = longest.clamp(min=1) / self.digit_size  # page pixels a frame pixel
        profile = ink.detach()  # the loss may change what is ink, but not by moving the frame
        rows = self._resize_weights(profile.sum(2), step)
        columns = self._resize_weights(profile.sum(1), step)
        frames = rows @ ink @ columns.transpose(1, 2)
        frames = frames / frames.detach().amax(dim=(1, 2), keepdim=True).clamp(min=1e-6)
        return (frames * is_ink.any((1, 2), keepdim=True)).unsqueeze(1)

    @torch.no_grad()
    def _character_box(self, ink: torch.Tensor) -> torch.Tensor:
        """(N, S, S) -> bool (N, S, S): around the main cluster of ink and those that belong to it, not around dirt."""
        n, size = ink.shape[0], ink.shape[-1] // self.cells
        is_ink = nn.functional.max_pool2d(ink[:, None], size)[:, 0] >= self.min_ink
        cluster = _label_clusters(is_ink).flatten(1)  # (N, cells * cells), 0 where there is no ink
        mass = nn.functional.avg_pool2d(ink[:, None], size).flatten(1)
        mass = torch.zeros(n, self.cells**2 + 1, device=ink.device).scatter_add_(1, cluster, mass)
        mass[:, 0] = 0

        cell = torch.arange(self.cells, device=ink.device)
        rows, columns = cell.repeat_interleave(self.cells).expand(n, -1), cell.repeat(self.cells).expand(n, -1)

        def extreme(positions: torch.Tensor, reduce: str, of_nothing: int) -> torch.Tensor:
            return torch.full_like(mass, of_nothing, dtype=torch.long).scatter_reduce(1, cluster, positions, reduce)

        first = torch.stack([extreme(axis, "amin", self.cells) for axis in (rows, columns)], -1)  # (N, clusters, 2)
        last = torch.stack([extreme(axis, "amax", -1) for axis in (rows, columns)], -1)
        at_border, middle = ((first == 0) | (last == self.cells - 1)).any(-1), self.cells // 2
        is_cut = at_border & ((first > middle) | (last < middle)).any(-1)  # a neighbour, or the table
        main = (mass * torch.where(is_cut, 0.3, 1.0)).argmax(1)[:, None]
        main_first, main_last = (edge.gather(1, main[..., None].expand(-1, -1, 2)) for edge in (first, last))
        gap = torch.maximum(first - main_last, main_first - last).amax(-1) / (main_last - main_first + 1).amax(-1)
        is_near = gap <= torch.where(is_cut, 0.1, 0.75)
        belongs = is_near & (mass >= self.min_share * mass.gather(1, main)) & (mass > 0)
        belongs = belongs.gather(1, cluster).view_as(is_ink)
        box = _span(belongs.any(2))[:, :, None] & _span(belongs.any(1))[:, None, :]
        return box.repeat_interleave(size, 1).repeat_interleave(size, 2)

    def _resize_weights(self, profile: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        """(N, S) ink along one axis -> (N, frame_size, S): the share of each page pixel in each frame pixel."""
        size = profile.shape[1]
        beyond = size // self.digit_size + 1  # pixels around the page, so that at its edge all weights still sum to 1
        pages = torch.arange(-beyond, size + beyond, device=profile.device) + 0.5
        frames = torch.arange(self.frame_size, device=profile.device) + 0.5 - self.frame_size / 2
        centre = (profile * pages[beyond:-beyond]).sum(1) / profile.sum(1).clamp(min=1e-6)
        wanted = centre[:, None] + frames * step[:, None]  # (N, frame_size), in page pixels
        share = (1 - (wanted[:, :, None] - pages).abs() / step.clamp(min=1)[:, None, None]).clamp(min=0)
        return (share / share.sum(2, keepdim=True).clamp(min=1e-6))[:, :, beyond:-beyond]


def _span(is_ink: torch.Tensor) -> torch.Tensor:
    """bool (N, S) -> bool (N, S): true from the first that is ink to the last."""
    return (is_ink.cumsum(1) > 0) & (is_ink.flip(1).cumsum(1).flip(1) > 0)


def _label_clusters(is_ink: torch.Tensor, rounds: int = 12) -> torch.Tensor:
    """bool (N, H, W) -> int64 (N, H, W): the same number, from 1 to H * W, for all ink that hangs together, else 0."""
    shape, is_ink = is_ink.shape, is_ink.float()
    numbers = torch.arange(1.0, is_ink[0].numel() + 1, device=is_ink.device).view(1, *shape[1:]) * is_ink
    for _ in range(rounds):
        numbers = _highest_near(_highest_near(numbers, 1), 2) * is_ink
        above = nn.functional.pad(numbers.flatten(1), (1, 0))
        numbers = above.gather(1, numbers.flatten(1).long()).view(shape)  # and what that one has found meanwhile
    return numbers.long()


def _highest_near(numbers: torch.Tensor, axis: int) -> torch.Tensor:
    """The highest of every three along an axis; several times faster on a CPU than max pooling."""
    size = numbers.shape[axis]
    of_two = torch.maximum(numbers.narrow(axis, 0, size - 1), numbers.narrow(axis, 1, size - 1))
    of_three = torch.maximum(of_two.narrow(axis, 0, size - 2), of_two.narrow(axis, 1, size - 2))
    return torch.cat([of_two.narrow(axis, 0, 1), of_three, of_two.narrow(axis, size - 2, 1)], axis)
