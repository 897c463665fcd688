"""The strokes of a digit: thinned to their middle line, drawn again with any pen, and put anywhere on a page."""

import math

import torch
import torch.nn.functional as F

_CANVAS = 84  # side of the square that strokes are thinned on: three pixels for each of a frame's
_REACH = 10  # how far from the middle of a stroke its nearness is known, in pixels of that square


def _deletable() -> torch.Tensor:
    """(2, 512) bool: for both halves of a round, whether a pixel goes that has these eight neighbours and is ink."""
    codes = torch.arange(512)
    # clockwise from the north, as Zhang and Suen number them; bit 8 is the pixel itself
    ring = torch.stack([(codes >> bit) & 1 for bit in range(8)])
    north, _, east, _, south, _, west, _ = ring
    neighbours = ring.sum(0)
    crossings = ((ring == 0) & (ring.roll(-1, 0) == 1)).sum(0)
    can_go = (codes >= 256) & (neighbours >= 2) & (neighbours <= 6) & (crossings == 1)
    first = (north * east * south == 0) & (east * south * west == 0)
    second = (north * east * west == 0) & (north * south * west == 0)
    return torch.stack([can_go & first, can_go & second])


_DELETABLE = _deletable()
_CODE = torch.tensor([[128.0, 1, 2], [64, 256, 4], [32, 16, 8]])[None, None]


def thin(ink: torch.Tensor, rounds: int) -> torch.Tensor:
    """
    The middle lines of strokes, one pixel wide (Zhang and Suen, 1984, "A fast parallel algorithm for thinning digital
    patterns"). A convolution numbers every pixel's neighbourhood, and a table says whether the pixel goes.

    Args:
        ink: bool (N, H, W).
        rounds: As many as the thickest stroke is wide, halved.

    Returns:
        bool (N, H, W).
    """
    deletable, code = _DELETABLE.to(ink.device), _CODE.to(ink.device)
    ink = ink[:, None].float()
    for _ in range(rounds):
        for table in deletable:
            goes = table[F.conv2d(ink, code, padding=1).long()]
            ink = ink.masked_fill(goes, 0)
    return ink[:, 0].bool()


def write(
    frames: torch.Tensor, width: torch.Tensor, centre: torch.Tensor, side: torch.Tensor, page_size: int
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
        page_size: Side of the page, in pixels.

    Returns:
        float (N, page_size, page_size) in [0, 1].
    """
    if len(frames) == 0:  # no page of a batch may have any, and a convolution in 0 groups is none
        return frames.new_zeros(0, page_size, page_size)
    detailed = F.interpolate(frames, (_CANVAS, _CANVAS), mode="bicubic", align_corners=False)[:, 0]
    detailed = blur(detailed, 2.0)  # or a thin stroke would be a string of pixels
    detailed = detailed / detailed.amax((1, 2), keepdim=True).clamp(min=1e-6)
    keeps_own = (width == 0)[:, None, None]
    own = torch.sigmoid((detailed - 0.4) * 20)
    nearness = blur(_nearness(thin(detailed > 0.35, rounds=6)), 1.5)
    placed = _place(torch.where(keeps_own, own, nearness / _REACH), centre, side, page_size)
    distance = (1 - placed) * _REACH
    distance = (distance.square() - 1.7).clamp(min=0).sqrt()  # the blur has rounded the middle off by that much
    distance = distance * (side / _CANVAS)[:, None, None]
    drawn = (width[:, None, None] / 2 - distance + 0.5).clamp(0, 1)
    return torch.where(keeps_own, placed, drawn).clamp(0, 1)


def write_straight(width: torch.Tensor, extent: torch.Tensor, page_size: int) -> torch.Tensor:
    """
    A straight line and up to two that people add to it, mostly upright, level or at a right angle. However long it is,
    the first one ends before the edge of the sheet, where a rule would go on.

    Args:
        width: (N,), of the pen, in page pixels.
        extent: (N, 2), the height and width of the sheet, in shares of the page.
        page_size: Side of the page, in pixels.

    Returns:
        float (N, page_size, page_size) in [0, 1].
    """
    n, device = len(width), width.device
    axis = torch.arange(page_size, device=device) + 0.5
    points = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)  # (S, S, 2)
    angle = torch.randint(0, 4, (n,), device=device) * math.pi / 2 + torch.randn(n, device=device) * 0.08
    direction = torch.stack([angle.sin(), angle.cos()], -1)
    longest = (extent / direction.abs().clamp(min=0.05)).amin(1, keepdim=True) * 0.96
    step = direction * longest * (torch.rand(n, 1, device=device) * 0.9 + 0.1) * page_size
    room = extent * 0.97 * page_size - step.abs()
    start = (page_size - step) / 2 + room * (torch.rand(n, 2, device=device) - 0.5)
    nearest = torch.full((n, page_size, page_size), float(page_size), device=device)
    for share in (1.0, 0.6, 0.4):  # of the pages that have a first, a second and a third line
        along = ((points - start[:, None, None]) * step[:, None, None]).sum(-1) / step.square().sum(-1)[:, None, None]
        foot = start[:, None, None] + along.clamp(0, 1)[..., None] * step[:, None, None]
        is_drawn = torch.rand(n, 1, 1, device=device) < share
        nearest = torch.where(is_drawn, torch.minimum(nearest, (points - foot).norm(dim=-1)), nearest)
        start = start + step * torch.rand(n, 1, device=device)
        angle = angle + math.pi / 2 + torch.randn(n, device=device) * 0.3
        length = (torch.rand(n, 1, device=device) * 0.4 + 0.1) * page_size
        step = torch.stack([angle.sin(), angle.cos()], -1) * length
    return (width[:, None, None] / 2 - nearest + 0.5).clamp(0, 1)


def _nearness(line: torch.Tensor) -> torch.Tensor:
    """bool (N, H, W) -> float (N, H, W): _REACH on the line, one less for every pixel away from it, and at least 0."""
    line = line.float()
    nearness = torch.zeros_like(line)
    for step in range(_REACH):
        nearness += line
        line = dilate(line) if step % 3 else torch.maximum(_dilate(line, -1), _dilate(line, -2))  # nearly round
    return nearness


def _place(strokes: torch.Tensor, centre: torch.Tensor, side: torch.Tensor, page_size: int) -> torch.Tensor:
    """(N, S, S) -> (N, page_size, page_size): an antialiased resize, as two batched matrix products."""
    n_pixels = strokes.shape[-1]
    step = n_pixels / side
    beyond = 8  # pixels around the strokes, so that at their edge all weights still sum to 1
    pages = torch.arange(page_size, device=strokes.device) + 0.5
    pixels = torch.arange(-beyond, n_pixels + beyond, device=strokes.device) + 0.5

    def weights(middle: torch.Tensor) -> torch.Tensor:
        wanted = (pages - middle[:, None]) * step[:, None] + n_pixels / 2
        share = (1 - (wanted[:, :, None] - pixels).abs() / step.clamp(min=1)[:, None, None]).clamp(min=0)
        return (share / share.sum(2, keepdim=True).clamp(min=1e-6))[:, :, beyond:-beyond]

    return weights(centre[:, 0]) @ strokes @ weights(centre[:, 1]).transpose(1, 2)


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
