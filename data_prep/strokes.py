"""The strokes of a digit: thinned to their middle line, drawn again with any pen, and put anywhere on a page."""

import math
from functools import reduce
from operator import or_

import torch
import torch.nn.functional as F

_CANVAS = 84  # side of the square that strokes are thinned on: three pixels for each of a frame's
_REACH = 10  # how far from the middle of a stroke its nearness is known, in pixels of that square
_RING = ((0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0), (0, 0))  # clockwise from the north


def thin(ink: torch.Tensor, rounds: torch.Tensor) -> torch.Tensor:
    """
    Takes the edge off strokes, round by round, until a line one pixel wide is left (Zhang and Suen, 1984, "A fast
    parallel algorithm for thinning digital patterns"). Every number holds a pixel of 64 pictures, one in each of its
    bits, so that one `&` is done to all.

    Args:
        ink: bool (N, H, W).
        rounds: int64 (N,), for each picture; half as many as a stroke is wide leave its middle line.

    Returns:
        bool (N, H, W).
    """
    bit = torch.arange(64, device=ink.device)[:, None, None]
    pictures = F.pad(ink.long(), (1, 1, 1, 1, 0, -len(ink) % 64)).unflatten(0, (-1, 64))
    rounds = F.pad(rounds, (0, -len(ink) % 64)).view(-1, 64, 1, 1)
    packed = (pictures << bit).sum(1)  # (N / 64, H + 2, W + 2)
    for number in range(int(rounds.max())):
        goes_on = ((rounds > number).long() << bit).sum(1)
        for is_first_half in (True, False):
            packed[:, 1:-1, 1:-1] &= ~(_may_go(packed, is_first_half) & goes_on)
    return ((packed[:, None, 1:-1, 1:-1] >> bit) & 1).flatten(0, 1)[: len(ink)].bool()


def _may_go(packed: torch.Tensor, is_first_half: bool) -> torch.Tensor:
    """Which pixels lie at the edge of a stroke, and are neither its end nor all that holds it together."""
    _, height, width = packed.shape
    ring = [packed[:, row : height - 2 + row, column : width - 2 + column] for row, column in _RING]
    north, east, south, west = ring[::2]
    ink_begins = [~here & after for here, after in zip(ring, ring[1:] + ring[:1])]
    is_held = (east & south & (north | west)) if is_first_half else (north & west & (east | south))
    begins_once = reduce(or_, ink_begins) & ~_at_least_two(ink_begins)
    return _at_least_two(ring) & _at_least_two([~neighbour for neighbour in ring]) & begins_once & ~is_held


def _at_least_two(neighbours: list[torch.Tensor]) -> torch.Tensor:
    one, two = neighbours[0], torch.zeros_like(neighbours[0])
    for neighbour in neighbours[1:]:
        two, one = two | (one & neighbour), one | neighbour
    return two


def write(
    frames: torch.Tensor, width: torch.Tensor, centre: torch.Tensor, side: torch.Tensor, shape: tuple[int, int]
) -> torch.Tensor:
    """
    Writes each frame again, with another pen, somewhere on a page.

    The pen follows the middle of the stroke. What is enlarged to the page is not the stroke but how near each point is
    to that middle, so that a line is as fine and as smooth as wanted at any size (Green, 2007, "Improved Alpha-Tested
    Magnification for Vector Textures and Special Effects").

    Args:
        frames: float (N, 1, 28, 28) in [0, 1], ink bright.
        width: (N,), of the pen, in page pixels, up to a fifth of `side`; 0 keeps the writer's own.
        centre: (N, 2), row and column of the frame's middle, in page pixels.
        side: (N,), of the frame, in page pixels.
        shape: Height and width of the page, in pixels.

    Returns:
        float (N, height, width) in [0, 1].
    """
    if len(frames) == 0:  # no page of a batch may have any, and a convolution in 0 groups is none
        return frames.new_zeros(0, *shape)
    keeps_own = (width == 0)[:, None, None]
    own = torch.sigmoid((_detailed(frames[:, 0]) - 0.4) * 20)
    nearness = blur(_nearness(_thinned(frames[:, 0])), 2.0)  # a pen does not waver from pixel to pixel
    placed = _place(torch.where(keeps_own, own, nearness / _REACH), centre, side, shape)
    distance = (1 - placed) * _REACH
    distance = (distance.square() - 2.5).clamp(min=0).sqrt()  # the blur has rounded the middle off by that much
    distance = distance * (side / _CANVAS)[:, None, None]
    drawn = (width[:, None, None] / 2 - distance + 0.5).clamp(0, 1)
    drawn = drawn * (placed > 0)  # of tiny strokes, the reach is less than the pen is wide
    return torch.where(keeps_own, placed, drawn).clamp(0, 1)


def write_straight(width: torch.Tensor, extent: torch.Tensor, page_size: int) -> torch.Tensor:
    """
    A straight line and up to two that people add to it, mostly upright, level or at a right angle. The first one ends
    well before the edge of the sheet, to which a rule would go on.

    Args:
        width: (N,), of the pen, in page pixels.
        extent: (N, 2), the height and width of the sheet, in shares of the page.
        page_size: Side of the page, in pixels.

    Returns:
        float (N, page_size, page_size) in [0, 1].
    """
    n, device = len(width), width.device
    angle = torch.randint(0, 4, (n,), device=device) * math.pi / 2 + torch.randn(n, device=device) * 0.08
    direction = torch.stack([angle.sin(), angle.cos()], -1)
    longest = (extent / direction.abs().clamp(min=0.05)).amin(1, keepdim=True)
    step = direction * longest * (torch.rand(n, 1, device=device) * 0.65 + 0.1) * page_size
    room = extent * 0.97 * page_size - step.abs()
    start = (page_size - step) / 2 + room * (torch.rand(n, 2, device=device) - 0.5)
    nearest = torch.full((n, page_size, page_size), float(page_size), device=device)
    for share in (1.0, 0.6, 0.4):  # of the pages that have a first, a second and a third line
        is_drawn = torch.rand(n, 1, 1, device=device) < share
        distance = distance_to_segment(start, step, (page_size, page_size))
        nearest = torch.where(is_drawn, torch.minimum(nearest, distance), nearest)
        start = start + step * torch.rand(n, 1, device=device)
        angle = angle + math.pi / 2 + torch.randn(n, device=device) * 0.3
        length = (torch.rand(n, 1, device=device) * 0.4 + 0.1) * page_size
        step = torch.stack([angle.sin(), angle.cos()], -1) * length
    return (width[:, None, None] / 2 - nearest + 0.5).clamp(0, 1)


def distance_to_segment(start: torch.Tensor, step: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """From one end (N, 2), row and column, and the way (N, 2) to the other: in pixels, (N, height, width)."""
    axes = (torch.arange(side, device=start.device) + 0.5 for side in shape)
    points = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    start, step = start[:, None, None], step[:, None, None]
    along = ((points - start) * step).sum(-1, keepdim=True) / step.square().sum(-1, keepdim=True)
    return (points - start - along.clamp(0, 1) * step).norm(dim=-1)


def _detailed(frames: torch.Tensor) -> torch.Tensor:
    """(N, 28, 28) -> (N, _CANVAS, _CANVAS), at most 1."""
    detailed = F.interpolate(frames[:, None], (_CANVAS, _CANVAS), mode="bicubic", align_corners=False)[:, 0]
    detailed = blur(detailed, 1.2)  # or a thin stroke would be a string of pixels
    return detailed / detailed.amax((1, 2), keepdim=True).clamp(min=1e-6)


def _thinned(frames: torch.Tensor) -> torch.Tensor:
    """
    (N, 28, 28) -> bool (N, _CANVAS, _CANVAS), the middle of each stroke. A loop that a thick pen has nearly closed is
    opened first; one that it has filled is thicker than the strokes, and what is left of it once they are thin stays:
    without it, a 9 is a 7.
    """
    sharpened = frames + 3 * (frames - blur(frames, 4 / 3))
    ink = _detailed(sharpened) > 0.3
    edge = ink & dilate(~ink)
    half_width = ink.sum((1, 2)) / edge.sum((1, 2)).clamp(min=1)
    return thin(ink, (1.1 * half_width).round().long().clamp(max=12))


def _nearness(line: torch.Tensor) -> torch.Tensor:
    """bool (N, H, W) -> float (N, H, W): _REACH on the line, one less for every pixel away from it, and at least 0."""
    line = line.float()
    nearness = torch.zeros_like(line)
    for step in range(_REACH):
        nearness += line
        line = dilate(line) if step % 2 else torch.maximum(_dilate(line, -1), _dilate(line, -2))  # nearly round
    return nearness


def _place(strokes: torch.Tensor, centre: torch.Tensor, side: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    """(N, S, S) -> (N, height, width): an antialiased resize, as two batched matrix products."""
    n_pixels = strokes.shape[-1]
    step = n_pixels / side
    beyond = 8  # pixels around the strokes, so that at their edge all weights still sum to 1
    pixels = torch.arange(-beyond, n_pixels + beyond, device=strokes.device) + 0.5

    def weights(middle: torch.Tensor, length: int) -> torch.Tensor:
        page = torch.arange(length, device=strokes.device) + 0.5
        wanted = (page - middle[:, None]) * step[:, None] + n_pixels / 2
        share = (1 - (wanted[:, :, None] - pixels).abs() / step.clamp(min=1)[:, None, None]).clamp(min=0)
        return (share / share.sum(2, keepdim=True).clamp(min=1e-6))[:, :, beyond:-beyond]

    return weights(centre[:, 0], shape[0]) @ strokes @ weights(centre[:, 1], shape[1]).transpose(1, 2)


def blur(images: torch.Tensor, sigma: float | torch.Tensor) -> torch.Tensor:
    """(N, H, W) blurred by a Gaussian of `sigma` pixels, one for all or one for each (N,), up to 2."""
    sigma = torch.as_tensor(sigma, device=images.device).expand(len(images))
    offsets = torch.arange(-4, 5, device=images.device)
    kernel = torch.exp(-(offsets**2) / (2 * sigma[:, None] ** 2))
    kernel = (kernel / kernel.sum(1, keepdim=True))[:, None]
    padded = F.pad(images[None], [4] * 4, mode="replicate")
    across = F.conv2d(padded, kernel[:, :, :, None], groups=len(images))
    return F.conv2d(across, kernel[:, :, None, :], groups=len(images))[0]


def dilate(images: torch.Tensor) -> torch.Tensor:
    """(N, H, W): every pixel becomes the brightest of its 3x3; twenty times faster on a CPU than max pooling."""
    return _dilate(_dilate(images, -1), -2)


def _dilate(images: torch.Tensor, axis: int) -> torch.Tensor:
    size = images.shape[axis]
    best = torch.maximum(images.narrow(axis, 0, size - 1), images.narrow(axis, 1, size - 1))
    first, last = images.narrow(axis, 0, 1), images.narrow(axis, size - 1, 1)
    return torch.maximum(torch.cat([first, best], axis), torch.cat([best, last], axis))
