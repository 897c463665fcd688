"""Words beside a number, of which nothing is to be read: labels, units, names, signatures."""

import math

import numpy as np
import torch
from scipy.special import logit

from .reading_digit import Writing, groups

_SPACE = 0.4  # heights of a sign, beyond which its neighbour in a line belongs to another word
_ODDS = 8  # for a word against a number, from which on it is one: what is left out by mistake cannot be seen
_MOST = 0.95  # and 1 less this, of what one sign says: letters such as O and l are as like a digit as digits are


def without_words(writing: Writing, labels: torch.Tensor) -> tuple[Writing, torch.Tensor]:
    """
    Leaves out what is no number: several signs close together which, taken together, are unlikely to be characters with
    one of the labels, and unlikely signs beside them. Where that would be all there is it stays, as a number that is
    hard to read.

    Args:
        writing: As it was read.
        labels: (K, num_labels) in [0, 1], the scores of each character's labels.

    Returns:
        Both, of the characters that are left.
    """
    height, width = writing.ink.shape
    boxes = writing.boxes[:, [1, 0, 3, 2]] * [height, width, height, width]
    word = groups(boxes, writing.lines, _SPACE)
    count = np.bincount(word)
    likely = (labels.amax(-1).numpy() * writing.scores).clip(1 - _MOST, _MOST)
    evidence = np.bincount(word, logit(likely))  # for a number, as the logarithm of its odds
    is_word = (evidence < -math.log(_ODDS)) & (count > 1)  # one sign alone may be a digit in its box
    is_unlikely = evidence < 0
    line = writing.lines[np.cumsum(count) - 1]
    stretch = np.cumsum((np.diff(line, prepend=-1) != 0) | (np.diff(is_unlikely, prepend=False) != 0))
    is_left_out = is_unlikely & (np.bincount(stretch, is_word) > 0)[stretch]
    kept = np.flatnonzero(~is_left_out[word]) if not is_left_out.all() else np.arange(len(word))
    lines = np.unique(writing.lines[kept], return_inverse=True)[1]
    return Writing(writing.boxes[kept], writing.scores[kept], writing.frames[kept], lines, writing.ink), labels[kept]
