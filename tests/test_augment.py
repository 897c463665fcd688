import torch

from data_prep import Augmentation


def test_a_batch_keeps_its_shape_and_range(frames):
    augmented = Augmentation()(frames)
    assert augmented.shape == frames.shape and augmented.dtype == torch.float32
    assert augmented.min() >= 0 and augmented.max() <= 1


def test_the_same_seed_gives_the_same_batch(frames):
    batches = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        batches.append(Augmentation()(frames))
    assert torch.equal(batches[0], batches[1]) and not torch.equal(batches[0], batches[2])


def test_every_frame_of_a_batch_is_changed_in_its_own_way(frames):
    augmented = Augmentation()(frames[:1].repeat(8, 1, 1, 1))
    assert len({frame.numpy().tobytes() for frame in augmented}) == 8


def test_nothing_allowed_changes_nothing(frames):
    unchanged = Augmentation(shift=0, scale=0, rotation=0, shear=0, elastic=0, stroke=0)(frames)
    assert torch.allclose(unchanged, frames, atol=1e-4)


def test_a_stroke_gets_thicker_and_thinner(frames):
    torch.manual_seed(0)
    only_stroke = Augmentation(shift=0, scale=0, rotation=0, shear=0, elastic=0, stroke=1)
    ink = only_stroke(frames[:1].repeat(64, 1, 1, 1)).sum(dim=(1, 2, 3))
    original = frames[0].sum()
    assert ink.min() < 0.8 * original and ink.max() > 1.2 * original


def test_a_shift_stays_within_its_pixels():
    dot = torch.zeros(256, 1, 28, 28)
    dot[:, :, 14, 14] = 1
    moved = Augmentation(shift=2, scale=0, rotation=0, shear=0, elastic=0, stroke=0)(dot)
    rows = moved.sum(dim=3).squeeze(1) @ torch.arange(28.0) / moved.sum(dim=(1, 2, 3))
    assert 1.5 < (rows - 14).abs().max() <= 2.01


def test_a_digit_is_never_mirrored():
    half = torch.zeros(512, 1, 28, 28)
    half[:, :, 8:20, 4:10] = 1  # ink on the left alone
    columns = Augmentation()(half).sum(dim=(1, 2))
    assert (columns[:, :14].sum(1) > columns[:, 14:].sum(1)).all()
