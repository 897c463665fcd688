"""Digits in other hands are frames as the others are, of digits alone."""

import numpy as np
import torch

from data_prep import written_in_other_hands
from digit_model import DigitConfig
from digit_model.modeling_digit import DigitFrame

LABELS = list("0123456789")


def test_they_are_frames_with_the_index_of_their_label():
    frames, labels = written_in_other_hands(60, ["x", *LABELS])
    assert frames.shape == (60, 1, 28, 28) and frames.dtype == torch.uint8 and labels.shape == (60,)
    assert set(labels.tolist()) == set(range(1, 11))
    assert (frames.amax((1, 2, 3)) > 200).all() and frames[:, :, 0].max() == 0 and frames[:, :, :, 0].max() == 0


def test_they_lie_where_the_frame_step_would_put_them():
    frames = written_in_other_hands(100, LABELS)[0].float() / 255
    framed = DigitFrame(DigitConfig())(torch.nn.functional.pad(frames, (50, 50, 50, 50)))
    rows = torch.arange(28.0)
    for axis in (2, 3):
        middles = [(each.sum((1, axis)) * rows).sum(1) / each.sum((1, 2, 3)) for each in (frames, framed)]
        assert (middles[0] - middles[1]).abs().max() < 1.5
    sides = [(each > 0.3).any(axis).sum(-1).amax(1) for each in (frames, framed) for axis in (2, 3)]
    assert all(16 <= longest <= 23 for longest in torch.maximum(sides[0], sides[1]).tolist())


def test_the_same_seed_draws_the_same_and_another_one_others():
    assert written_in_other_hands(5, LABELS)[0].equal(written_in_other_hands(5, LABELS)[0])
    assert not written_in_other_hands(5, LABELS)[0].equal(written_in_other_hands(5, LABELS, seed=1)[0])


def test_every_digit_is_written_in_several_ways():
    frames, labels = written_in_other_hands(400, LABELS)
    for label in range(10):
        pictures = frames[labels == label].float().flatten(1)
        likeness = np.corrcoef(pictures.numpy())
        assert np.median(likeness) < 0.7


def test_there_are_none_of_other_labels():
    frames, labels = written_in_other_hands(7, ["a", "b"])
    assert frames.shape == (0, 1, 28, 28) and len(labels) == 0
