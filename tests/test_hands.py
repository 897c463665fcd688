"""Digits and letters in other hands are frames as the others are."""

import numpy as np
import pytest
import torch

from data_prep import written_in_other_hands, written_on_a_tablet
from data_prep.letters import handwritten_letter
from digit_model import DigitConfig, load_checkpoint
from digit_model.frame_digit import DigitFrame

LABELS = list("0123456789")
every_way = pytest.mark.parametrize("written", [written_in_other_hands, written_on_a_tablet])


@every_way
def test_they_are_frames_with_the_index_of_their_label(written):
    frames, labels = written(60, ["x", *LABELS])
    assert frames.shape == (60, 1, 28, 28) and frames.dtype == torch.uint8 and labels.shape == (60,)
    assert set(labels.tolist()) == set(range(1, 11))
    assert (frames.amax((1, 2, 3)) > 200).all() and frames[:, :, 0].max() == 0 and frames[:, :, :, 0].max() == 0


@every_way
def test_they_lie_where_the_frame_step_would_put_them(written):
    frames = written(100, LABELS)[0].float() / 255
    framed = DigitFrame(DigitConfig())(torch.nn.functional.pad(frames, (50, 50, 50, 50)))
    rows = torch.arange(28.0)
    for axis in (2, 3):
        middles = [(each.sum((1, axis)) * rows).sum(1) / each.sum((1, 2, 3)) for each in (frames, framed)]
        assert (middles[0] - middles[1]).abs().max() < 1.5
    sides = [(each > 0.3).any(axis).sum(-1).amax(1) for each in (frames, framed) for axis in (2, 3)]
    assert all(16 <= longest <= 23 for longest in torch.maximum(sides[0], sides[1]).tolist())


@every_way
def test_the_same_seed_draws_the_same_and_another_one_others(written):
    assert written(5, LABELS)[0].equal(written(5, LABELS)[0])
    assert not written(5, LABELS)[0].equal(written(5, LABELS, seed=1)[0])


@every_way
def test_every_digit_is_written_in_several_ways(written):
    frames, labels = written(400, LABELS)
    for label in range(10):
        pictures = frames[labels == label].float().flatten(1)
        likeness = np.corrcoef(pictures.numpy())
        assert np.median(likeness) < 0.7


@every_way
def test_there_are_none_of_other_labels(written):
    frames, labels = written(7, ["a", "b"])
    assert frames.shape == (0, 1, 28, 28) and len(labels) == 0


def test_letters_are_frames_as_well():
    random = np.random.default_rng(0)
    frames = np.stack([np.asarray(handwritten_letter(random)) for _ in range(200)])
    assert frames.shape == (200, 28, 28) and frames.dtype == np.uint8 and (frames.max((1, 2)) > 200).all()
    assert frames[:, 0].max() == frames[:, :, 0].max() == 0 and len(np.unique(frames, axis=0)) == 200


def test_no_more_are_written_on_a_tablet_than_there_are():
    frames, labels = written_on_a_tablet(2_000, ["4"])
    assert 1_000 < len(frames) < 1_200 and (labels == 0).all()


def test_the_checkpoint_reads_what_was_written_on_a_tablet():
    model, _ = load_checkpoint()
    frames, labels = written_on_a_tablet(200, LABELS)
    with torch.no_grad():
        answers = model(frames=frames.float() / 255).logits.argmax(-1)
    assert (answers == labels).float().mean() > 0.95
