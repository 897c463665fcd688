"""What stands between the digits of an amount and around it, and is none: full stops, dashes, number signs, waves."""

from functools import cache

import numpy as np
import torch

from .drawing import FINE, canvas, curve
from .mnist import FRAME_SIZE

SEPARATORS = ("full stop", "comma", "dash", "equals sign", "apostrophe")

SIGNS = (
    *("number sign", "long dash", "wave", "equals sign in one stroke", "hooked dash"),
    *("full stop and dash", "colon", "leaning strokes"),
)

KINDS = (*SEPARATORS, *SIGNS)

NOBODYS_DIGITS = ("equals sign", "number sign", "wave", "full stop and dash", "colon", "leaning strokes")
"""The kinds that are no digit when they are seen alone and enlarged, as a comma or a dash may be."""

_COMMON = ("full stop", "comma", "dash")
"""The kinds that stand in nearly every amount."""

_ENDINGS = ("full stop and dash", "equals sign")
"""The kinds that end many amounts, so that no figure can be added."""

_OF_A_KIND = 13


@cache
def draw_marks(with_signs: bool = False) -> torch.Tensor:
    """
    Full stops, commas, dashes, equals signs and what else stands between digits; with number signs, long dashes
    and waves, as on cheques, where only what hangs together is to be learnt: they are rules as much as ink. There, they
    are also written as hands in a hurry do, with a hook or without lifting the pen.

    Returns:
        float (M, 28, 28) in [0, 1], one of each kind after the other, and the common kinds more often.
    """
    random = np.random.default_rng(0)
    kinds, drawn = (*KINDS, *_COMMON * 3, *_ENDINGS * 2) if with_signs else (*SEPARATORS, *_COMMON), []
    for number in range(len(kinds) * _OF_A_KIND):
        (sheet, draw), pen = canvas(), int(random.integers(6, 13))
        x, base, middle = 56, random.normal(92, 4), random.normal(56, 5)
        half = random.uniform(10, 26)
        rise = half * random.normal(0.15, 0.2)
        dash = [(x - half, middle + rise), (x + half, middle - rise)]
        match kinds[number % len(kinds)]:
            case "full stop":
                draw.ellipse([x - pen / 2, base - pen / 2, x + pen / 2, base + pen / 2], fill=255)
            case "comma":
                draw.line([(x + 2, base - 2), (x - random.uniform(2, 12), base + random.uniform(8, 18))], 255, pen)
            case "dash":
                draw.line(dash, 255, pen)
            case "equals sign":
                draw.line([(x, y - 8) for x, y in dash], 255, pen)
                draw.line([(x, y + random.uniform(8, 14)) for x, y in dash], 255, pen)
            case "apostrophe":
                draw.line([(x + 2, 24), (x - random.uniform(0, 6), 24 + random.uniform(6, 14))], 255, pen)
            case "number sign":
                for apart in (-12, 12):
                    lean = random.uniform(0, 12)
                    draw.line([(x + apart + lean, 22), (x + apart - lean, 90)], 255, pen)
                    draw.line([(18, middle + apart), (94, middle + apart - random.uniform(0, 8))], 255, pen)
            case "long dash":
                draw.line([(4, middle), (108, middle + random.normal(0, 5))], 255, pen)
            case "wave":
                columns = np.arange(8, 104, 4)
                wave = middle + 8 * np.sin((columns - 8) / random.uniform(6, 12))
                draw.line(list(zip(columns, wave)), 255, pen, joint="curve")
            case "equals sign in one stroke":
                apart = random.uniform(7, 13)
                ends = [(x + side * half, middle + row * apart) for row in (-1, 1) for side in (-1, 1)]
                draw.line(_drawn(random, [ends[0], ends[0], *ends[1:], ends[3]]), 255, pen, joint="curve")
            case "hooked dash":
                hook = (x + half - random.uniform(2, 10), middle + random.uniform(-14, 14))
                draw.line(_drawn(random, [dash[0], dash[0], dash[1], hook, hook]), 255, pen, joint="curve")
            case "full stop and dash":
                stop = x - half + random.uniform(-14, half)  # to the left of the dash, or under it
                tail = (stop - random.uniform(0, 8), base + random.uniform(0, 10))
                draw.line([(stop, base - 4), tail], 255, pen)
                raised = random.uniform(-4, 24)
                draw.line([(x, y - raised) for x, y in dash], 255, pen)
            case "colon":
                for row in (-1, 1):
                    y, short = middle + row * random.uniform(7, 14), random.uniform(0, 8)
                    draw.line([(x - short - pen / 2, y), (x + short + pen / 2, y + random.normal(0, 2))], 255, pen)
            case "leaning strokes":
                for apart in (-8, 8):
                    draw.line([(x + apart + 5, middle - half * 0.7), (x + apart - 5, middle + half * 0.7)], 255, pen)
        drawn.append(np.asarray(sheet.reduce(FINE)))
    return torch.from_numpy(np.stack(drawn)).float() / 255


def marks_of(kind: str) -> torch.Tensor:
    """float (_OF_A_KIND, 28, 28) in [0, 1]: those of one of `KINDS`."""
    return draw_marks(with_signs=True).view(_OF_A_KIND, -1, FRAME_SIZE, FRAME_SIZE)[:, KINDS.index(kind)]


def _drawn(random: np.random.Generator, points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """A line through points but the first and last, as a hand that is in a hurry draws it."""
    return curve(np.array(points) + random.normal(0, 1.5, (len(points), 2)))
