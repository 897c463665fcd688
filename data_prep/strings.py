"""
The ink of numbers, as it is found on a page, and which of it belongs to which character.

It is drawn without paper: what a network is to learn here is what hangs together, not what is ink.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch

from .forms import printed_fields
from .lines import DIGIT_HEIGHT, LETTER, LONGEST, MARK, NOTHING, Line, pens, rises, spell, write_line
from .marks import draw_marks
from .paper import printed_rules
from .sampling import chance, smooth_field, uniform
from .strokes import blur, distance_to_segment
from .surroundings import border_objects
from .words import draw_alphabets


class StringBatch(NamedTuple):
    """
    Attributes:
        ink: float (N, 1, H, W) in [0, 1].
        owner: int64 (N, H, W), the number of the character that each pixel belongs to, from 1 on, 0 where there is no
            ink, -1 where it belongs to none: to a mark such as a comma, an underline, or dirt.
        characters: int64 (K, 2), the picture and the number of every character that the border cuts nothing off.
        frames: int64 (K,), the index of the frame that each of them was written from, `LETTER` for one of a word.
        neighbours: int64 (P, 3), the picture and the numbers of two such characters that stand side by side, of no
            word.
    """

    ink: torch.Tensor
    owner: torch.Tensor
    characters: torch.Tensor
    frames: torch.Tensor
    neighbours: torch.Tensor


@dataclass(frozen=True)
class Strings:
    """
    Writes frames in one to three lines, narrow ones more often: two of them, side by side, are easily taken for one.

    Attributes:
        height: Of a picture, in pixels, a multiple of 16.
        width: Of a picture, in pixels, a multiple of 16.
        smallest: Height of a character in pixels, at least.
        largest: Height of a character in pixels, at most.
        lines: How many there are, at most.
        joined: Share of the lines with a row of zeros that are written in one stroke.
        worded: Share of the lines with a word at one end, or nothing else, of which nothing is to be read.
        fields: Share of the lines in the boxes of a form, of which much may be left.
        cut: Share of the pictures in which the border may cut off some of the writing.
        underlined: Share of the pictures with a line below, above or through the writing.
        ruled: Share of the pictures in which rests of rules may be left.
        dirty: Share of the pictures with specks.
        broken: Share of the pictures in which strokes have gaps.
    """

    height: int = 96
    width: int = 160
    smallest: float = 14.0
    largest: float = 64.0
    lines: int = 3
    joined: float = 0.15
    worded: float = 0.25
    fields: float = 0.1
    cut: float = 0.15
    underlined: float = 0.3
    ruled: float = 0.5
    dirty: float = 0.3
    broken: float = 0.15

    @torch.no_grad()
    def __call__(self, frames: torch.Tensor, count: int) -> StringBatch:
        """
        Args:
            frames: float (F, 1, 28, 28) in [0, 1], ink bright.
            count: How many pictures.
        """
        is_form = torch.rand(count, self.lines, device=frames.device) < self.fields
        line, chosen = self._compose(frames, is_form)
        ink, owner = write_line(line, (self.height, self.width))
        is_whole = self._is_whole(owner, line)
        dirt = torch.maximum(self._dirt(count, frames.device), self._fields(line, is_form))
        owner = torch.where((owner == 0) & (dirt >= 0.5), MARK, owner)
        ink = torch.maximum(ink, dirt)
        picture, place = is_whole.nonzero(as_tuple=True)
        character = line.characters[picture, place]
        written = chosen[character.clamp(min=0)].where(character != LETTER, LETTER)
        by_line = (is_whole & (line.characters != LETTER)).view(count, self.lines, LONGEST)
        beside, row, first = (by_line[..., :-1] & by_line[..., 1:]).nonzero(as_tuple=True)
        first = row * LONGEST + first + 1
        return StringBatch(
            ink=self._as_found(ink)[:, None],
            owner=owner,
            characters=torch.stack([picture, place + 1], 1),
            frames=written,
            neighbours=torch.stack([beside, first, first + 1], 1),
        )

    def _is_whole(self, owner: torch.Tensor, line: Line) -> torch.Tensor:
        """bool (N, P): which places hold a character that is seen, and nowhere at the border."""
        n, places = line.characters.shape
        seen, cut = (torch.zeros(n, places + 1, dtype=torch.bool, device=owner.device) for _ in range(2))
        edges = [owner[:, 0], owner[:, -1], owner[:, :, 0], owner[:, :, -1]]
        seen.scatter_(1, owner.clamp(min=0).flatten(1), True)
        cut.scatter_(1, torch.cat(edges, 1).clamp(min=0), True)
        return (seen & ~cut)[:, 1:] & (line.characters != MARK)

    def _compose(self, frames: torch.Tensor, is_form: torch.Tensor) -> tuple[Line, torch.Tensor]:
        n, device = len(is_form), frames.device
        height = torch.exp(torch.rand(n, device=device) * math.log(self.largest / self.smallest)) * self.smallest
        fits = (self.width / (0.75 * height)).clamp(1, LONGEST)
        size = (torch.rand(n, self.lines, device=device) * fits[:, None]).long() + 1
        width = (frames >= 0.5).any(2).sum((1, 2)).clamp(min=1)
        chosen = torch.multinomial(1 / width, n * self.lines, replacement=True)
        marks, alphabets = draw_marks(with_signs=True), draw_alphabets()
        text = spell(frames[chosen], size.flatten(), marks, is_form.flatten(), self.joined, alphabets, self.worded)
        aspect = ((text.last - text.first) / DIGIT_HEIGHT).view(n, self.lines).amax(1)
        height = torch.minimum(height, 0.97 * self.width / aspect)
        side = height / DIGIT_HEIGHT
        pitch = height * uniform(n, 1.1, 2.0, device).flatten()
        lines = torch.randint(1, self.lines + 1, (n,), device=device).minimum((self.height / pitch).long()).clamp(min=1)
        number = torch.arange(self.lines, device=device)

        free = self.height - height - (lines - 1) * pitch
        top = (free * torch.rand(n, device=device))[:, None] + height[:, None] / 2 + number * pitch[:, None]
        length = ((text.last - text.first).view(n, -1)) * side[:, None]
        left = (self.width - length) * torch.rand(n, self.lines, device=device) - text.first.view(n, -1) * side[:, None]
        shift = torch.randn(n, 2, device=device) * 0.3 * chance(n, self.cut, device)[:, 0]
        offsets = text.offsets.view(n, self.lines, LONGEST)
        rise = rises(text.offsets).view(n, self.lines, LONGEST)
        rows = top[:, :, None] + rise * side[:, None, None] + (shift[:, 0] * self.height)[:, None, None]
        columns = left[:, :, None] + offsets * side[:, None, None] + (shift[:, 1] * self.width)[:, None, None]
        is_line = (number < lines[:, None])[:, :, None]
        characters = text.characters.view(n, self.lines, LONGEST).where(is_line, NOTHING)
        joined = text.joined.view(n, self.lines, LONGEST) & is_line
        centres = torch.stack([rows, columns], -1).flatten(1, 2)
        written = text.frames.view(n, -1, *text.frames.shape[2:])
        return Line(characters.flatten(1), written, centres, side, pens(side), joined.flatten(1)), chosen

    def _dirt(self, n: int, device: torch.device) -> torch.Tensor:
        """(N, H, W) in [0, 1]: underlines, rests of rules, specks, and things at the border."""
        size = torch.tensor([self.height, self.width], device=device)
        angle = torch.where(torch.rand(n, device=device) < 0.7, 0.0, math.pi / 2) + torch.randn(n, device=device) * 0.05
        direction = torch.stack([angle.sin(), angle.cos()], 1)
        step = direction * (torch.rand(n, 1, device=device) + 0.7) * size  # longer than any stroke
        start = torch.rand(n, 2, device=device) * (size - step)
        distance = distance_to_segment(start, step, (self.height, self.width))
        line = (uniform(n, 0.5, 2.0, device) - distance + 0.5).clamp(0, 1) * chance(n, self.underlined, device)
        rules = self._cropped(printed_rules(n, max(self.height, self.width), device))
        rules = rules * self._patches(n, device) * chance(n, self.ruled, device)
        specks = self._cropped(smooth_field(n, 24, max(self.height, self.width), device))
        specks = ((specks - uniform(n, 0.42, 0.5, device)) * 12).clamp(0, 1) * chance(n, self.dirty, device)
        objects = self._cropped(border_objects(n, max(self.height, self.width), device)) * chance(n, 0.05, device)
        return torch.stack([line, rules, specks, objects]).amax(0)

    def _fields(self, line: Line, is_form: torch.Tensor) -> torch.Tensor:
        """(N, H, W) in [0, 1]: what is left of the boxes around some of the lines."""
        (n, lines), device = is_form.shape, is_form.device
        of_places = line.characters, line.frames, line.centres, line.joined
        places = [each.unflatten(1, (lines, LONGEST)) for each in of_places]
        is_form = is_form & (places[0] > NOTHING).any(2)
        picture = is_form.nonzero()[:, 0]
        *places, joined = (each[is_form] for each in places)
        form = Line(*places, line.side[picture], line.pen[picture], joined)
        size = max(self.height, self.width)
        printed = torch.zeros(n, lines, size, size, device=device)
        printed[is_form] = printed_fields(form, size)
        left = self._patches(n, device).where(chance(n, 0.5, device), 1)
        return self._cropped(printed.amax(1)) * left * chance(n, 0.7, device)

    def _cropped(self, square: torch.Tensor) -> torch.Tensor:
        return square[:, : self.height, : self.width]

    def _patches(self, n: int, device: torch.device) -> torch.Tensor:
        """(N, H, W) in [0, 1]: here and there."""
        field = self._cropped(smooth_field(n, 8, max(self.height, self.width), device))
        return ((field - uniform(n, 0.1, 0.4, device)) * 10).clamp(0, 1)

    def _as_found(self, ink: torch.Tensor) -> torch.Tensor:
        """Softer than it was written, and here and there not found at all."""
        n, device = len(ink), ink.device
        gaps = self._cropped(smooth_field(n, 48, max(self.height, self.width), device) + 0.15).clamp(min=0)
        gaps = gaps * uniform(n, 0, 3.0, device) * chance(n, self.broken, device)
        return (blur(ink, uniform(n, 0.3, 1.2, device).flatten()) * (1 - gaps.clamp(max=1))).clamp(0, 1)
