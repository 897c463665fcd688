"""Words beside a number, of which nothing is to be read: labels, units, names, signatures."""

import math

import numpy as np
import torch
from scipy.special import logit

from .reading_digit import Writing, groups

_SPACE = 0.4  # heights of a sign, beyond which its neighbour in a line belongs to another word
_ODDS = 8  # for a word against a number, from which on it is one: what is left out by mistake cannot be seen
_MOST = 4.0  # and least: what one sign says
_USUAL_SCORE = 0.86  # of a digit, from the characters network
_DOUBT = 2.0  # what is less surely one character than that is oftener a letter


def without_words(writing: Writing, labels: torch.Tensor, letters: np.ndarray) -> tuple[Writing, torch.Tensor]:
    """
    Leaves out what is no number: several signs close together which, taken together, are likely to be letters, and
    likely letters beside them. Where that would be all there is it stays, as a number that is hard to read.

    Args:
        writing: As it was read.
        labels: (K, num_labels) in [0, 1], the scores of each character's labels.
        letters: (K,), the logit of each being a letter.

    Returns:
        Writing and labels, of the characters that are left.
    """
    height, width = writing.ink.shape
    word = groups(writing.boxes[:, [1, 0, 3, 2]] * [height, width, height, width], writing.lines, _SPACE)
    count = np.bincount(word)
    doubt = _DOUBT * (logit(_USUAL_SCORE) - logit(writing.scores.clip(0.01, 0.99)))
    evidence = np.bincount(word, (letters + doubt).clip(-_MOST, _MOST))  # the logarithm of the odds
    is_word = (evidence > math.log(_ODDS)) & (count > 1)  # one sign alone may be a digit in its box
    is_likely = evidence > 0
    line = writing.lines[np.cumsum(count) - 1]
    stretch = np.cumsum((np.diff(line, prepend=-1) != 0) | (np.diff(is_likely, prepend=False) != 0))
    is_left_out = is_likely & (np.bincount(stretch, is_word) > 0)[stretch]
    kept = np.flatnonzero(~is_left_out[word]) if not is_left_out.all() else np.arange(len(word))
    lines = np.unique(writing.lines[kept], return_inverse=True)[1]
    return Writing(writing.boxes[kept], writing.scores[kept], writing.frames[kept], lines, writing.ink), labels[kept]
