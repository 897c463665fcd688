"""Which ink belongs to which character: what the network is asked for, and how its maps are read."""

from typing import NamedTuple

import numpy as np
import torch
from scipy.ndimage import find_objects, label, maximum_filter, mean
from scipy.spatial import KDTree
from torch import nn

MARK = -1
"""Owner of ink that belongs to no character: a full stop, a comma, a dash, an underline, dirt."""

CHARACTER_SIZE = 32
"""Height in pixels of a usual character, which is the unit of the offsets."""

MIN_INK = 0.5
"""Share of a pixel, in [0, 1], from which on it counts as ink."""

MIN_SHARED = 0.5
"""Of a character's pixels and those taken for it, those that are both, from which on it teaches its label."""

_MIN_CENTRE = 0.2  # score of a centre, below which there is none
_CENTRES_APART = 4  # pixels, at least
_MIN_SIZE = 0.35  # of the usual character's, below which ink is a mark


class Characters(NamedTuple):
    """
    The characters found in a picture's ink.

    Attributes:
        owner: int32 (H, W), the number of the character that each pixel belongs to, from 1 on, 0 for none.
        boxes: int64 (K, 4), top, left, bottom and right of each, the last two exclusive.
        scores: float (K,), in [0, 1], how sure it is that each is one character.
        pointed: float32 (H, W, 2), row and column where each of their pixels takes its character's centre to be, on the
            network's maps.
        marks: float32 (H, W), in [0, 1], how sure it is that the ink of each pixel belongs to no character.
    """

    owner: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    pointed: np.ndarray
    marks: np.ndarray


def character_loss(maps: torch.Tensor, owner: torch.Tensor) -> torch.Tensor:
    """
    Args:
        maps: (N, 4, H, W), as `DigitCharacters` gives them.
        owner: int64 (N, H, W), the number of the character that each pixel belongs to, from 1 on, 0 where there is no
            ink, `MARK` where it belongs to none.

    Returns:
        The sum of the cross-entropies of centres and marks, and of the mean error of the offsets.
    """
    centre, size = _centres(owner)
    heat = _heat(centre, size, owner.shape[1:])
    cross_entropy = nn.functional.binary_cross_entropy_with_logits
    of_centres = cross_entropy(maps[:, 0], heat, reduction="sum") / heat.sum().clamp(min=1)
    is_ink, is_character = owner != 0, owner > 0
    of_marks = cross_entropy(maps[:, 1], (owner == MARK).float(), reduction="none")[is_ink].sum() / is_ink.sum().clamp(
        min=1
    )
    number = (owner.clamp(min=1) - 1).flatten(1)[..., None].expand(-1, -1, 2)
    target = (centre.gather(1, number).view(*owner.shape, 2) - _positions(owner)) / CHARACTER_SIZE
    error = (maps[:, 2:].permute(0, 2, 3, 1) - target).abs().sum(-1)[is_character].sum() / is_character.sum().clamp(
        min=1
    )
    return of_centres + of_marks + error


@torch.no_grad()
def cut_out(
    ink: torch.Tensor, maps: torch.Tensor, owner: torch.Tensor, characters: torch.Tensor, side: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Characters as they are told apart in use, with what is taken from a neighbour and what is lost to it.

    Args:
        ink: (N, 1, H, W) in [0, 1].
        maps: (N, 4, H, W), as `DigitCharacters` gives them.
        owner: int64 (N, H, W), as `character_loss` takes it.
        characters: int64 (K, 3), a picture and the numbers of two of its characters that are taken as one, or of one
            character twice.
        side: Of a canvas, in pixels.

    Returns:
        Each on a canvas (K, 1, side, side), and bool (K,), whether that is about what was written.
    """
    rows, numbers = characters[:, 0], characters[:, 1:]
    centre, size = _centres(owner)
    told = _told_apart(ink[:, 0], maps, centre, size)
    margin = side // 2
    # of the canvas, once the picture has got its margin
    corner = centre[rows[:, None], numbers - 1].mean(1).round().long()
    around = torch.arange(side, device=ink.device)
    place = (rows[:, None, None], (corner[:, :1] + around)[:, :, None], (corner[:, 1:] + around)[:, None, :])

    def on_canvas(layer: torch.Tensor) -> torch.Tensor:
        layer = nn.functional.pad(layer, [margin] * 4)
        beyond = [length - 1 for length in layer.shape[1:]]
        return layer[place[0], place[1].clamp(max=beyond[0]), place[2].clamp(max=beyond[1])]

    told, owner = on_canvas(told), on_canvas(owner)
    is_own, written = ((layer[..., None] == numbers[:, None, None]).any(-1) for layer in (told, owner))
    shared, either = (layer.flatten(1).sum(1) for layer in (is_own & written, is_own | written))
    softly = nn.functional.max_pool2d(is_own.float(), 3, 1, 1) > 0
    canvases = on_canvas(ink[:, 0]) * (is_own | (softly & (told == 0)))
    return canvases[:, None], shared >= MIN_SHARED * either


def _told_apart(ink: torch.Tensor, maps: torch.Tensor, centre: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
    """int64 (N, H, W): the number of the character whose centre is nearest to where each pixel's is thought to be."""
    is_character = (ink >= MIN_INK) & (maps[:, 1] < 0)
    picture, row, column = is_character.nonzero(as_tuple=True)
    offsets = maps[picture, 2:, row, column].float() * CHARACTER_SIZE
    thought = torch.stack([row, column], 1) + offsets
    distance = (thought[:, None] - centre[picture]).norm(dim=-1).where(size[picture] > 0, torch.inf)
    nearest = distance.min(1)
    told = torch.zeros(ink.shape, dtype=torch.long, device=ink.device)
    told[picture, row, column] = torch.where(nearest.values < CHARACTER_SIZE, nearest.indices + 1, 0)
    return told


def _positions(owner: torch.Tensor) -> torch.Tensor:
    """(H, W, 2): row and column of every pixel."""
    axes = (torch.arange(side, device=owner.device, dtype=torch.float32) for side in owner.shape[1:])
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)


def _centres(owner: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The middle (N, K, 2) of each character's box and its longer side (N, K), 0 where there is no such character."""
    number, positions = owner.clamp(min=0).flatten(1), _positions(owner).flatten(0, 1)
    index = number[..., None].expand(-1, -1, 2)
    of_nothing = torch.full((len(owner), max(int(number.max()), 1) + 1, 2), torch.inf, device=owner.device)
    positions = positions.expand(len(owner), -1, -1)
    first = of_nothing.scatter_reduce(1, index, positions, "amin")[:, 1:]
    last = (-of_nothing).scatter_reduce(1, index, positions, "amax")[:, 1:]
    is_there = torch.isfinite(first)
    size = (last - first + 1).where(is_there, 0).amax(-1)
    return ((first + last) / 2).where(is_there, 0), size


def _heat(centre: torch.Tensor, size: torch.Tensor, shape: torch.Size) -> torch.Tensor:
    """(N, H, W) in [0, 1]: a Gaussian around each centre, as wide as its character is large."""
    width = (0.08 * size).clamp(min=1.2)[..., None]

    def along(axis: int) -> torch.Tensor:
        distance = torch.arange(shape[axis], device=centre.device) - centre[..., axis, None]
        return torch.exp(-((distance / width).square()) / 2) * (size > 0)[..., None]

    rows, columns = along(0), along(1)
    heat = torch.zeros(len(centre), *shape, device=centre.device)
    for number in range(centre.shape[1]):
        heat = torch.maximum(heat, rows[:, number, :, None] * columns[:, number, None, :])
    return heat


def find_characters(ink: torch.Tensor, maps: torch.Tensor) -> Characters:
    """
    Args:
        ink: (H, W) in [0, 1].
        maps: (4, h, w), as `DigitCharacters` gives them for that ink or for a smaller copy of it.
    """
    heat = maps[0].sigmoid()
    highest_near = torch.from_numpy(maximum_filter(heat.numpy(), 2 * _CENTRES_APART + 1))
    peaks = ((heat == highest_near) & (heat > _MIN_CENTRE)).nonzero()
    pixels = (ink >= MIN_INK).nonzero()
    scale = torch.tensor(heat.shape) / torch.tensor(ink.shape)
    places = (pixels + 0.5) * scale - 0.5  # where they lie in the maps
    rows, columns = places.round().long().clamp(min=0).T
    owner, pointed = np.zeros(ink.shape, dtype=np.int32), np.zeros((*ink.shape, 2), dtype=np.float32)
    marks = np.zeros(ink.shape, dtype=np.float32)
    marks[tuple(pixels.numpy().T)] = maps[1, rows, columns].sigmoid().float().numpy()
    is_character = maps[1, rows, columns] < 0
    pixels, places, rows, columns = (each[is_character] for each in (pixels, places, rows, columns))
    if len(peaks) == 0 or len(pixels) == 0:
        return Characters(owner, np.empty((0, 4), dtype=int), np.empty(0), pointed, marks)
    thought = places + maps[2:, rows, columns].T.float() * CHARACTER_SIZE
    _, nearest = KDTree(peaks.numpy()).query(thought.numpy(), distance_upper_bound=CHARACTER_SIZE)
    nearest[nearest == len(peaks)] = -1  # too far from any of them
    place = tuple(pixels.numpy().T)
    owner[place], pointed[place] = nearest + 1, thought.numpy()
    scores = heat[peaks[:, 0], peaks[:, 1]].float().numpy()
    return without_specks(Characters(owner, boxes_of(owner, len(scores)), scores, pointed, marks))


def without_specks(characters: Characters) -> Characters:
    """The characters numbered anew, without what is too small beside the others, or has no ink at all."""
    owner, boxes, scores, *rest = characters
    size = (boxes[:, 2:] - boxes[:, :2]).max(1, initial=0)
    numbers = np.flatnonzero(size >= _MIN_SIZE * np.median(size[size > 0]) if size.any() else size)
    renumber = np.zeros(len(scores) + 1, dtype=np.int32)
    renumber[numbers + 1] = np.arange(len(numbers)) + 1
    return Characters(renumber[owner], boxes[numbers], scores[numbers], *rest)


def doubted(characters: Characters, ink: np.ndarray) -> np.ndarray:
    """
    Lowers the scores of characters beside which ink was left out that may be one more: a number that lost a character
    is as wrong as one in which it is misread.

    Args:
        characters: Of that ink.
        ink: (H, W) in [0, 1].

    Returns:
        The scores (K,), each multiplied with how sure it is that none of the ink left out nearest to it is a character.
    """
    boxes, is_none = characters.boxes, np.ones(len(characters.scores))
    pieces, count = label((ink >= MIN_INK) & (characters.owner == 0), np.ones((3, 3)))
    left_out = boxes_of(pieces, count)
    usual = np.median((boxes[:, 2:] - boxes[:, :2]).max(1)) if len(boxes) else np.inf
    large = np.flatnonzero((left_out[:, 2:] - left_out[:, :2]).max(1, initial=0) >= _MIN_SIZE * usual)
    for piece, is_mark in zip(left_out[large], mean(characters.marks, pieces, large + 1)):
        nearest = gaps(piece[None], boxes)[0].argmin()
        is_none[nearest] = min(is_none[nearest], is_mark)
    return characters.scores * is_none


def gaps(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """(K, 4) and (L, 4) -> (K, L): how far each box lies from each other one along rows or columns, below 0 inside."""
    boxes = boxes[:, None]
    return (np.maximum(boxes[..., :2], others[:, :2]) - np.minimum(boxes[..., 2:], others[:, 2:])).max(-1)


def boxes_of(owner: np.ndarray, count: int) -> np.ndarray:
    """The boxes of so many characters, as those of `Characters`; nothing but 0 where there is no such character."""
    boxes = np.zeros((count, 4), dtype=int)
    for box, found in zip(boxes, find_objects(owner, max_label=count)):
        if found:
            box[:] = [found[0].start, found[1].start, found[0].stop, found[1].stop]
    return boxes
