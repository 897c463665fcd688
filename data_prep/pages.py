"""
Synthetic pages with the stroke as target, made on the fly from training digits: any pen on any paper, photographed.

They are grey, as the model reads them, so a colour is the tone it has in grey: coloured ink on coloured rules is two
tones with no relation. It all happens in a few batched operations on the device the frames are on, drawn from torch's
global generator, so `torch.manual_seed` repeats it. `python -m data_prep pages` shows some.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch

from .camera import photograph
from .paper import border_objects, light, printed_rules
from .sampling import chance, smooth_field, uniform
from .strokes import blur, write, write_straight


class PageBatch(NamedTuple):
    """
    Attributes:
        pages: float (N, 1, S, S) in [0, 1].
        ink: float (N, 1, S, S) in [0, 1], how much of each pixel was written on.
        is_single: bool (N,), whether the page shows the one character of its frame and no other.
    """

    pages: torch.Tensor
    ink: torch.Tensor
    is_single: torch.Tensor


@dataclass(frozen=True)
class Pages:
    """
    Makes a page of every frame.

    Attributes:
        size: Side of a page in pixels, a multiple of 8.
        empty: Share of the pages that nobody has written on.
        string: Share of the pages with two to six characters in a row.
        straight: Share of the pages with straight lines of a pen, which end where a rule would go on.
        neighbour: Share of the pages with other writing cut off at the border.
    """

    size: int = 128
    empty: float = 0.06
    string: float = 0.12
    straight: float = 0.12
    neighbour: float = 0.12

    @torch.no_grad()
    def __call__(self, frames: torch.Tensor) -> PageBatch:
        """
        Args:
            frames: float (N, 1, 28, 28) in [0, 1], ink bright. Neighbours and strings take the frames that follow.
        """
        n, device = len(frames), frames.device
        sheet = self._sheet(n, device)
        ink, is_single = self._write(frames, sheet)
        is_inside = sheet.covers(self.size)
        is_border = is_inside & ~sheet.covers(self.size, margin=3 / self.size)
        ink = ink * is_inside
        pages = torch.where(chance(n, 0.1, device), self._screen(ink), self._photo(ink))
        pages = self._letterbox(pages, is_inside, is_border)
        return PageBatch(pages[:, None], ink[:, None], is_single)

    def _sheet(self, n: int, device: torch.device) -> "_Sheet":
        """A picture fills its page from side to side or from top to bottom."""
        share = torch.where(torch.rand(n, device=device) < 0.45, torch.rand(n, device=device) * 0.45 + 0.55, 1.0)
        is_wide = torch.rand(n, device=device) < 0.5
        return _Sheet(torch.stack([torch.where(is_wide, share, 1.0), torch.where(is_wide, 1.0, share)], 1))

    def _write(self, frames: torch.Tensor, sheet: "_Sheet") -> tuple[torch.Tensor, torch.Tensor]:
        """Ink (N, S, S), and whether it is the one character of the frame."""
        n, device = len(frames), frames.device
        line = self._line(sheet, n, device)
        ink = self._characters(frames, line)
        is_straight = torch.rand(n, device=device) < self.straight
        pen, extent = line.pen[is_straight].clamp(min=1.2), sheet.extent[is_straight]
        ink[is_straight] = write_straight(pen, extent, self.size)
        is_written = torch.rand(n, device=device) >= self.empty
        ink = ink * is_written[:, None, None]
        neighbours = self._neighbours(frames, line)
        is_hidden = neighbours.sum((1, 2)) >= 0.4 * ink.sum((1, 2))
        is_single = (line.count == 1) & ~is_straight & is_written & ~is_hidden
        return torch.maximum(ink, neighbours), is_single

    def _line(self, sheet: "_Sheet", n: int, device: torch.device) -> "_Line":
        count = torch.where(chance(n, self.string, device), torch.randint(2, 7, (n, 1, 1), device=device), 1).flatten()
        height = self._heights(sheet, count)
        pitch = height * (torch.rand(n, device=device) * 0.5 + 0.65)
        side = height * 28 / 20
        pen = torch.minimum(torch.exp(torch.rand(n, device=device) * math.log(9)) * 1.2, side / 8)
        pen = torch.where(torch.rand(n, device=device) < 0.2, 0.0, pen)
        room = sheet.extent * self.size - torch.stack([height, height + pitch * (count - 1)], 1)
        middle = self.size / 2 + _off_centre(n, device) * room.clamp(min=0) / 2
        return _Line(count, height, pitch, side, pen, middle)

    def _characters(self, frames: torch.Tensor, line: "_Line") -> torch.Tensor:
        """The character of each frame, and in strings those of the frames that follow."""
        ink = torch.zeros(len(frames), self.size, self.size, device=frames.device)
        for place in range(int(line.count.max())):
            rows = (line.count > place).nonzero().flatten()
            count, height = line.count[rows], line.height[rows]
            centre = line.middle[rows].clone()
            centre[:, 1] += (place - (count - 1) / 2) * line.pitch[rows]
            centre[:, 0] += torch.randn(len(rows), device=frames.device) * height * 0.05 * (count > 1)
            written = write(frames.roll(place, 0)[rows], line.pen[rows], centre, line.side[rows], self.size)
            ink[rows] = torch.maximum(ink[rows], written)
        return ink

    def _neighbours(self, frames: torch.Tensor, line: "_Line") -> torch.Tensor:
        """Another character on some of the pages, cut off by the border."""
        ink = torch.zeros(len(frames), self.size, self.size, device=frames.device)
        rows = (torch.rand(len(frames), device=frames.device) < self.neighbour).nonzero().flatten()
        direction = torch.randn(len(rows), 2, device=frames.device)
        centre = (0.5 + direction / direction.abs().amax(1, keepdim=True) * 0.5) * self.size
        side = line.side[rows].clamp(max=self.size * 0.5)
        ink[rows] = write(frames.roll(7, 0)[rows], line.pen[rows], centre, side, self.size)
        return ink

    def _heights(self, sheet: "_Sheet", count: torch.Tensor) -> torch.Tensor:
        """Of a character, in pixels: mostly from a seventh of the page to all of it, often a tenth."""
        n, device = len(count), count.device
        any_size = torch.rand(n, device=device) * 0.82 + 0.15
        small = torch.exp(torch.rand(n, device=device) * math.log(9)) * 0.1
        share = torch.where(torch.rand(n, device=device) < 0.35, small, any_size)
        longest = torch.minimum(sheet.extent[:, 0], sheet.extent[:, 1] / (0.3 + 0.7 * count)) * 0.97
        is_cut_out = torch.rand(n, device=device) < 0.06  # along its edges, and a little inside them
        return torch.where(is_cut_out, longest * 1.1, torch.minimum(share, longest)) * self.size

    def _screen(self, ink: torch.Tensor) -> torch.Tensor:
        """A clean drawing or screenshot of either polarity, sharp or enlarged from a few pixels."""
        n, device = len(ink), ink.device
        pages = blur(1 - ink * uniform(n, 0.3, 1.0, device), uniform(n, 0.2, 2.0, device).flatten())
        return torch.where(chance(n, 0.4, device), 1 - pages, pages)

    def _photo(self, ink: torch.Tensor) -> torch.Tensor:
        (n, size, _), device = ink.shape, ink.device
        grain = smooth_field(n, 24, size, device) * uniform(n, 0, 0.1, device) * chance(n, 0.5, device)
        paper = uniform(n, 0.45, 1.0, device) * (1 + grain)
        dark = uniform(n, 0, 1, device) ** 0.7 * 0.9 + 0.08
        dark = torch.where(chance(n, 0.15, device), uniform(n, 0.07, 0.2, device), dark)  # a hard pencil
        # people choose a pen that shows: rules are seldom as dark as the ink
        faint, any_tone = dark * uniform(n, 0.1, 0.9, device), uniform(n, 0.03, 0.8, device)
        printed = torch.where(chance(n, 0.8, device), faint, any_tone).clamp(max=0.8)
        tones = paper * (1 - printed_rules(n, size, device) * printed)
        skips = (smooth_field(n, 64, size, device) + 0.2).clamp(min=0) * uniform(n, 0, 1.2, device)
        cover = ink * (1 - skips * chance(n, 0.25, device))
        see_through = tones * (1 - cover * dark)
        opaque = torch.lerp(tones, tones.mean((1, 2), keepdim=True) * (1 - dark), cover)
        tones = torch.where(chance(n, 0.5, device), see_through, torch.minimum(opaque, tones + 0.05))
        objects = border_objects(n, size, device) * (1 - ink) * chance(n, 0.22, device)
        tones = torch.lerp(tones * light(n, size, device), uniform(n, 0, 0.6, device), objects)
        return photograph(tones)

    @staticmethod
    def _letterbox(pages: torch.Tensor, is_inside: torch.Tensor, is_border: torch.Tensor) -> torch.Tensor:
        """What the picture does not fill has the tone of its border, as the image processor makes it."""
        tone = (pages * is_border).sum((1, 2), keepdim=True) / is_border.sum((1, 2), keepdim=True)
        return torch.where(is_inside, pages, tone)


class _Sheet(NamedTuple):
    """What the picture covers of each page."""

    extent: torch.Tensor  # (N, 2): which share of the page's rows and columns the picture fills

    def covers(self, size: int, margin: float = 0.0) -> torch.Tensor:
        """bool (N, size, size); a margin takes that share of half the page off each side."""
        axis = torch.linspace(-1, 1, size, device=self.extent.device).abs() + margin
        return (axis <= self.extent[:, :1])[:, :, None] & (axis <= self.extent[:, 1:])[:, None, :]


class _Line(NamedTuple):
    """What is written on each page; every tensor has a row a page, and all lengths are page pixels."""

    count: torch.Tensor  # of characters
    height: torch.Tensor  # of a character
    pitch: torch.Tensor  # from one character to the next
    side: torch.Tensor  # of a character's frame
    pen: torch.Tensor  # its width, 0 for the writer's own
    middle: torch.Tensor  # (N, 2), row and column


def _off_centre(n: int, device: torch.device) -> torch.Tensor:
    """(N, 2) in [-1, 1]: mostly near the middle, often anywhere."""
    near = (torch.randn(n, 2, device=device) * 0.35).clamp(-1, 1)
    return torch.where(torch.rand(n, 1, device=device) < 0.4, torch.rand(n, 2, device=device) * 2 - 1, near)
