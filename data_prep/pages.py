"""
Synthetic pages with the stroke as target, made on the fly from training digits: any pen on any paper, photographed.

They are grey, as the model reads them, so a colour is the tone it has in grey: coloured ink on coloured rules is two
tones with no relation. It all happens in a few batched operations on the device the frames are on, drawn from torch's
global generator, so `torch.manual_seed` repeats it. `python -m data_prep pages` shows some.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F

from .camera import photograph
from .forms import printed_fields
from .lines import DIGIT_HEIGHT, LONGEST, NOTHING, Line, compose, write_line
from .paper import grain, light, printed_rules
from .sampling import chance, smooth_field, uniform
from .strokes import blur, write, write_straight
from .surroundings import border_objects, on_a_table


class PageBatch(NamedTuple):
    """
    Attributes:
        pages: float (N, 1, S, S) in [0, 1].
        ink: float (N, 1, S, S) in [0, 1], how much of each pixel was written on.
        owner: int64 (N, S, S), the place of the character that each pixel belongs to, from 1 on, 0 for none.
        characters: int64 (N, LONGEST), the index of each frame that is written, from left to right, or
            `MARK` or `NOTHING`.
        is_inside: bool (N, S, S), which part of the page the picture covers.
    """

    pages: torch.Tensor
    ink: torch.Tensor
    owner: torch.Tensor
    characters: torch.Tensor
    is_inside: torch.Tensor

    @property
    def is_single(self) -> torch.Tensor:
        """bool (N,), whether one character is to be read: what the border cuts off of a neighbour does not count."""
        return (self.characters > NOTHING).sum(1) == 1

    @property
    def is_blank(self) -> torch.Tensor:
        """bool (N,), whether nobody has written on the page."""
        return self.ink.amax((1, 2, 3)) == 0

    @property
    def touches(self) -> torch.Tensor:
        """bool (N,), whether the ink of two characters meets."""
        meets = torch.zeros(len(self.owner), dtype=torch.bool, device=self.owner.device)
        for axis in (1, 2):
            one, other = (
                self.owner.narrow(axis, 0, self.owner.shape[axis] - 2),
                self.owner.narrow(axis, 2, self.owner.shape[axis] - 2),
            )
            meets |= ((one > 0) & (other > 0) & (one != other)).any(2).any(1)
        return meets

    def strips(self, height: int) -> "PageBatch":
        """So many rows of each page, around what is written on it: as a number on its own sheet is looked at."""
        n, size = len(self.ink), self.ink.shape[-1]
        mass = self.ink.sum((1, 3)) + 1e-3  # the middle of the page where it is blank
        middle = (mass * torch.arange(size, device=mass.device)).sum(1) / mass.sum(1)
        middle = middle + torch.randn(n, device=mass.device) * height / 12
        top = (middle - height / 2).round().long().clamp(0, size - height)
        rows = (top[:, None] + torch.arange(height, device=mass.device))[..., None].expand(-1, -1, size)
        pages, ink = (layer.gather(2, rows[:, None]) for layer in (self.pages, self.ink))
        owner, is_inside = (layer.gather(1, rows) for layer in (self.owner, self.is_inside))
        return PageBatch(pages, ink, owner, self.characters, is_inside)


@dataclass(frozen=True)
class Pages:
    """
    Makes a page of every frame.

    Attributes:
        size: Side of a page in pixels, a multiple of 8.
        empty: Share of the pages that nobody has written on.
        grain: Share of the pages that are nothing but grain: a carpet, a wall, a picture without light.
        string: Share of the pages with two to ten characters in a row; of those with fields, three times as many.
        joined: Share of those with a row of zeros that are written in one stroke.
        columns: Share of those on which more such lines stand above and below, as in a column of figures.
        straight: Share of the pages with straight lines of a pen, which end where a rule would go on, alone or added to
            other writing.
        neighbour: Share of the pages with other writing cut off at the border.
        cut_out: Share of the pages that were cut out along the writing, and a little inside it.
        fields: Share of the pages on which a form has printed boxes for the characters, filled in or not.
        objects: Share of the sheets with something else at the border, which may hide some of the paper.
        small: Share of the pages that are enlarged from a few pixels, such as icons.
        table: Share of the sheets that lie turned on something else, with its edges in the picture.
    """

    size: int = 128
    empty: float = 0.06
    grain: float = 0.02
    string: float = 0.15
    joined: float = 0.15
    columns: float = 0.3
    straight: float = 0.24
    neighbour: float = 0.12
    cut_out: float = 0.1
    fields: float = 0.2
    objects: float = 0.22
    small: float = 0.1
    table: float = 0.15

    @torch.no_grad()
    def __call__(self, frames: torch.Tensor) -> PageBatch:
        """
        Args:
            frames: float (N, 1, 28, 28) in [0, 1], ink bright. Neighbours and strings take the frames that follow.
        """
        n, device = len(frames), frames.device
        sheet = self._sheet(n, device)
        blank = torch.rand(n, device=device)
        is_grain = blank < self.grain
        ink, owner, characters, fields = self._write(frames, sheet, is_written=blank >= self.grain + self.empty)
        is_inside = sheet.covers(self.size)
        is_border = is_inside & ~sheet.covers(self.size, margin=3 / self.size)
        ink, owner = (layer * is_inside * ~is_grain[:, None, None] for layer in (ink, owner))
        is_clean, clean, photo = chance(n, 0.1, device), self._clean(ink, fields), self._photo(ink, fields)
        pages = torch.where(is_clean, self._surrounded(clean, ink).clamp(max=1), photo)
        pages[is_grain] = grain(int(is_grain.sum()), self.size, device)
        pages = torch.where(chance(n, self.small, device), self._enlarged(pages, ink), pages)
        pages = self._letterbox(pages, is_inside, is_border)
        return PageBatch(pages[:, None], ink[:, None], owner, characters, is_inside)

    def _sheet(self, n: int, device: torch.device) -> "_Sheet":
        """A picture fills its page from side to side or from top to bottom."""
        share = torch.where(torch.rand(n, device=device) < 0.45, torch.rand(n, device=device) * 0.45 + 0.55, 1.0)
        is_wide = torch.rand(n, device=device) < 0.5
        return _Sheet(torch.stack([torch.where(is_wide, share, 1.0), torch.where(is_wide, 1.0, share)], 1))

    def _write(
        self, frames: torch.Tensor, sheet: "_Sheet", is_written: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """
        Ink (N, S, S), whose it is (N, S, S), which frames are to be read (N, LONGEST), and what a form has printed
        around them (N, S, S).
        """
        n, device = len(frames), frames.device
        is_form, is_cut_out = (torch.rand(n, device=device) < share for share in (self.fields, self.cut_out))
        is_string = torch.rand(n, device=device) < self.string * torch.where(is_form, 3, 1)
        is_spread = is_form & (torch.rand(n, device=device) < 0.8)  # in a frame without boxes people write as ever
        line = compose(frames, is_string, is_spread, is_cut_out, sheet.extent, self.size, self.joined)
        ink, owner = write_line(line, (self.size, self.size))
        is_column = is_string & (torch.rand(n, device=device) < self.columns)
        ink[is_column] = _in_columns(ink[is_column], line.side[is_column])
        is_straight = torch.rand(n, device=device) < self.straight
        pen, extent = line.pen[is_straight].clamp(min=1.2), sheet.extent[is_straight]
        is_added = chance(len(pen), 0.5, device)  # as a foot, a bar or a line that crosses something out is
        ink[is_straight] = torch.maximum(ink[is_straight] * is_added, write_straight(pen, extent, self.size))
        is_line = is_written & ~is_straight
        ink = ink * is_written[:, None, None]
        neighbours = self._neighbours(frames, line)
        is_hidden = neighbours.sum((1, 2)) >= 0.4 * ink.sum((1, 2))
        characters = line.characters.where((is_line & ~is_hidden)[:, None], NOTHING)
        owner = owner.clamp(min=0) * is_line[:, None, None]
        return torch.maximum(ink, neighbours), owner, characters, self._fields(line, is_form)

    def _fields(self, line: Line, is_form: torch.Tensor) -> torch.Tensor:
        """(N, S, S) in [0, 1]: what a form has printed on some of the pages."""
        printed = torch.zeros(len(is_form), self.size, self.size, device=is_form.device)
        printed[is_form] = printed_fields(Line(*(each[is_form] for each in line)), self.size)
        return printed

    def _neighbours(self, frames: torch.Tensor, line: Line) -> torch.Tensor:
        """Another character on some of the pages, cut off by the border."""
        ink = torch.zeros(len(frames), self.size, self.size, device=frames.device)
        rows = (torch.rand(len(frames), device=frames.device) < self.neighbour).nonzero().flatten()
        direction = torch.randn(len(rows), 2, device=frames.device)
        centre = (0.5 + direction / direction.abs().amax(1, keepdim=True) * 0.5) * self.size
        side = line.side[rows].clamp(max=self.size * 0.5)
        ink[rows] = write(frames.roll(LONGEST, 0)[rows], line.pen[rows], centre, side, (self.size, self.size))
        return ink

    def _clean(self, ink: torch.Tensor, fields: torch.Tensor) -> torch.Tensor:
        """A clean scan, drawing or screenshot of either polarity, sharp or enlarged from a few pixels."""
        n, device = len(ink), ink.device
        dark = torch.maximum(ink * uniform(n, 0.3, 1.0, device), fields * uniform(n, 0.1, 1.0, device))
        pages = blur(1 - dark, uniform(n, 0.2, 2.0, device).flatten())
        return torch.where(chance(n, 0.4, device), 1 - pages, pages).clamp(0, 1)

    def _photo(self, ink: torch.Tensor, fields: torch.Tensor) -> torch.Tensor:
        (n, size, _), device = ink.shape, ink.device
        texture = smooth_field(n, 24, size, device) * uniform(n, 0, 0.1, device) * chance(n, 0.5, device)
        paper = uniform(n, 0.45, 1.0, device) * (1 + texture)
        dark = uniform(n, 0, 1, device) ** 0.7 * 0.9 + 0.08
        dark = torch.where(chance(n, 0.15, device), uniform(n, 0.07, 0.2, device), dark)  # a hard pencil
        # people choose a pen that shows: rules are seldom as dark as the ink
        faint, any_tone = dark * uniform(n, 0.1, 0.9, device), uniform(n, 0.03, 0.8, device)
        printed = torch.where(chance(n, 0.8, device), faint, any_tone).clamp(max=0.8)
        printed = printed_rules(n, size, device) * printed
        tones = paper * (1 - torch.maximum(printed, fields * uniform(n, 0.1, 0.9, device)))
        skips = (smooth_field(n, 64, size, device) + 0.2).clamp(min=0) * uniform(n, 0, 1.2, device)
        cover = ink * (1 - skips * chance(n, 0.25, device))
        see_through = tones * (1 - cover * dark)
        opaque = torch.lerp(tones, tones.mean((1, 2), keepdim=True) * (1 - dark), cover)
        tones = torch.where(chance(n, 0.5, device), see_through, torch.minimum(opaque, tones + 0.05))
        tones = tones * light(n, size, device)
        return photograph(self._surrounded(tones, ink))

    def _surrounded(self, tones: torch.Tensor, ink: torch.Tensor) -> torch.Tensor:
        """Some of the sheets with what lies around them."""
        n, device = len(tones), tones.device
        around = torch.rand(n, device=device)
        beside = (around < self.objects).nonzero().flatten()
        objects = border_objects(len(beside), self.size, device) * (1 - ink[beside])
        tone = torch.where(chance(len(beside), 0.8, device), uniform(len(beside), 0, 0.6, device), 1.1)
        tones[beside] = torch.lerp(tones[beside], tone, objects)
        is_on_table = (around >= self.objects) & (around < self.objects + self.table)
        if is_on_table.any():  # a pattern can be drawn for one table or more
            tones[is_on_table] = on_a_table(tones[is_on_table], ink[is_on_table])
        return tones

    def _enlarged(self, pages: torch.Tensor, ink: torch.Tensor) -> torch.Tensor:
        """From a half to an eighth of their pixels along each side, but for those whose pen is too fine for it."""
        n_pixels = self.size // int(torch.randint(2, 9, ()))
        small, ink_left = (
            F.interpolate(layer[:, None], (n_pixels, n_pixels), mode="bilinear", antialias=True)
            for layer in (pages, ink)
        )
        is_left = ink_left.amax((2, 3)) >= ink.amax((1, 2))[:, None] * 0.8
        enlarged = F.interpolate(small, (self.size, self.size), mode="bicubic")[:, 0].clamp(0, 1)
        return torch.where(is_left[:, :, None], enlarged, pages)

    @staticmethod
    def _letterbox(pages: torch.Tensor, is_inside: torch.Tensor, is_border: torch.Tensor) -> torch.Tensor:
        """What the picture does not fill has the tone of its border, as the image processor makes it."""
        tone = (pages * is_border).sum((1, 2), keepdim=True) / is_border.sum((1, 2), keepdim=True)
        return torch.where(is_inside, pages, tone.clamp(max=1))


def _in_columns(ink: torch.Tensor, side: torch.Tensor) -> torch.Tensor:
    """
    (N, S, S) with its line of characters (N,), of frames of this side, again above and below: ones that stand under one
    another are no rule.
    """
    pitches = (side * DIGIT_HEIGHT * uniform(len(ink), 1.1, 2.2, ink.device).flatten()).round().int().tolist()
    columns = ink.clone()
    for page, column, pitch in zip(ink, columns, pitches):
        size, lines = len(page), int(torch.randint(1, 9, ()))
        for below in range(pitch, min(lines * pitch, size - 1) + 1, pitch):
            above = page.roll(int(torch.randint(-1, 2, ())), 1)
            column[below:] = torch.maximum(column[below:], above[: size - below])
            column[: size - below] = torch.maximum(column[: size - below], above[below:])
    return columns


class _Sheet(NamedTuple):
    """What the picture covers of each page."""

    extent: torch.Tensor  # (N, 2): which share of the page's rows and columns the picture fills

    def covers(self, size: int, margin: float = 0.0) -> torch.Tensor:
        """bool (N, size, size); a margin takes that share of half the page off each side."""
        axis = torch.linspace(-1, 1, size, device=self.extent.device).abs() + margin
        return (axis <= self.extent[:, :1])[:, :, None] & (axis <= self.extent[:, 1:])[:, None, :]
