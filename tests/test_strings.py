"""The ink of numbers that the network learns to take apart."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from data_prep import Strings, lines, make_numbers
from data_prep.forms import printed_fields
from data_prep.lines import LETTER, LONGEST, Line, write_line
from data_prep.numbers import write_numbers
from data_prep.sheets import make_sheets
from digit_model import load_checkpoint
from digit_model.characters_digit import CHARACTER_SIZE, MARK, character_loss, cut_out, find_characters


@pytest.fixture
def batch(frames):
    torch.manual_seed(0)
    return Strings()(frames, 40)


def test_every_pixel_of_ink_has_an_owner_or_is_a_mark(batch):
    assert batch.ink.shape == (40, 1, 96, 160) and batch.owner.shape == (40, 96, 160)
    assert batch.ink.min() >= 0 and batch.ink.max() <= 1
    assert batch.owner.min() == MARK and 1 < batch.owner.max() <= 3 * LONGEST


def test_what_is_left_of_the_boxes_of_a_form_is_a_mark(frames, monkeypatch):
    owners = []
    for draw in (printed_fields, lambda line, size: torch.zeros(len(line.side), size, size)):
        monkeypatch.setattr("data_prep.strings.printed_fields", draw)
        torch.manual_seed(0)
        owners.append(Strings(fields=1)(frames, 40).owner)
    form, blank = owners
    assert torch.equal(form.clamp(min=0), blank.clamp(min=0))
    assert ((form == MARK) & (blank == 0)).flatten(1).any(1).float().mean() > 0.4


def test_rows_of_zeros_are_written_in_some_of_the_numbers(frames):
    assert lines._is_zero(frames[:, 0]).tolist() == [True] + [False] * 9
    zeros = []
    for joined in (0, 1):
        torch.manual_seed(0)
        zeros.append((Strings(joined=joined)(frames, 60).frames == 0).float().mean())
    assert zeros[1] > 2 * zeros[0]


def owners_of_two_zeros(frames: torch.Tensor, joined: bool, beside: int = -2) -> torch.Tensor:
    """Whose ink two zeros are, and what stands to the right of them, if it is shown at all."""
    places, written = torch.arange(LONGEST), torch.zeros(1, LONGEST, 28, 28)
    written[:, :2] = frames[0, 0]
    centres = torch.stack([torch.full((LONGEST,), 64.0), 40.0 + 50 * places], 1)[None]
    characters = torch.where(places < 2, 0, -2)[None]
    characters[:, 2] = beside
    line = Line(characters, written, centres, torch.tensor([56.0]), torch.tensor([4.0]), (places < 1)[None] & joined)
    torch.manual_seed(0)
    return write_line(line, (128, 160))[1][0]


def test_words_stand_beside_some_numbers_and_alone_and_their_letters_are_told_apart(frames):
    written = {}
    for worded in (0, 1):
        torch.manual_seed(0)
        written[worded] = Strings(worded=worded, fields=0)(frames, 40)
    assert (written[0].frames != LETTER).all()
    batch, line = written[1], (written[1].characters[:, 1] - 1) // LONGEST
    letters = {each: set() for each in zip(batch.characters[:, 0].tolist(), line.tolist())}
    for each, is_letter in zip(zip(batch.characters[:, 0].tolist(), line.tolist()), (batch.frames == LETTER).tolist()):
        letters[each].add(is_letter)
    assert all(kinds in letters.values() for kinds in ({True}, {False}, {True, False}))
    of_words = set(map(tuple, batch.characters[batch.frames == LETTER].tolist()))
    assert not of_words & {(picture, number) for picture, *both in batch.neighbours.tolist() for number in both}


def test_zeros_are_joined_by_a_stroke_of_which_each_owns_a_half(frames, monkeypatch):
    monkeypatch.setattr(lines, "_TAILS", 0)
    apart, joined = (owners_of_two_zeros(frames, joined) for joined in (False, True))
    stroke = (apart == 0) & (joined != 0)
    assert stroke.any(0).nonzero().diff(dim=0).max() == 1 and stroke.sum() > 20
    assert set(joined[stroke].tolist()) == {1, 2}


@pytest.mark.parametrize("beside, is_free", [(-2, True), (-1, True), (5, False)], ids=["nothing", "a mark", "a digit"])
def test_the_tail_of_a_rows_last_zero_belongs_to_nobody_and_reaches_into_no_digit(frames, monkeypatch, beside, is_free):
    owners = []
    for share in (0, 1):
        monkeypatch.setattr(lines, "_TAILS", share)
        owners.append(owners_of_two_zeros(frames, True, beside))
    tail = (owners[0] == 0) & (owners[1] != 0)
    assert tail.any() == is_free and (owners[1][tail] == MARK).all()
    assert not tail.any() or tail.nonzero()[:, 1].min() >= 90


def test_characters_follow_one_another_from_left_to_right_and_line_by_line(batch):
    for owner in batch.owner:
        numbers_there = owner.unique()[owner.unique() > 0]
        middles = [(owner == number).nonzero().float().mean(0) for number in numbers_there]
        for one, other, number, following in zip(middles, middles[1:], numbers_there, numbers_there[1:]):
            if (number - 1) // LONGEST == (following - 1) // LONGEST and following == number + 1:
                assert one[1] < other[1] + 3


def test_narrow_digits_are_written_more_often_than_wide_ones(batch, frames):
    written = batch.frames[batch.frames != LETTER].bincount(minlength=10)
    width = (frames >= 0.5).any(2).sum((1, 2))
    assert written[width.argmin()] > 1.5 * written[width.argmax()] > 0


def test_the_same_seed_writes_the_same_strings(frames):
    inks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        inks.append(Strings()(frames, 4).ink)
    assert inks[0].equal(inks[1]) and not inks[0].equal(inks[2])


def perfect_maps(owner: torch.Tensor) -> torch.Tensor:
    """What the network would give for one picture if it knew whose its ink is."""
    maps = torch.zeros(4, *owner.shape)
    maps[0] = -9
    maps[1] = torch.where(owner == MARK, 9.0, -9.0)
    position = torch.stack(torch.meshgrid(*map(torch.arange, owner.shape), indexing="ij"))
    for number in owner.unique()[owner.unique() > 0]:
        pixels = (owner == number).nonzero()
        centre = (pixels.amin(0) + pixels.amax(0)) // 2
        maps[0, centre[0], centre[1]] = 9
        maps[2:] = torch.where(owner == number, (centre[:, None, None] - position) / CHARACTER_SIZE, maps[2:])
    return maps


def two_bars() -> torch.Tensor:
    """Two characters that touch, and a full stop."""
    owner = torch.zeros(64, 96, dtype=torch.long)
    owner[10:50, 20:30], owner[10:50, 30:40], owner[46:50, 60:64] = 1, 2, MARK
    return owner


def test_characters_that_touch_are_taken_apart_and_marks_left_out():
    owner = two_bars()
    found = find_characters((owner != 0).float(), perfect_maps(owner))
    assert found.boxes.tolist() == [[10, 20, 50, 30], [10, 30, 50, 40]]
    assert (found.owner == owner.clamp(min=0).numpy()).all() and (found.scores > 0.9).all()


def test_large_ink_is_taken_apart_by_the_maps_of_a_smaller_copy():
    owner = two_bars()
    large = owner.repeat_interleave(3, 0).repeat_interleave(3, 1)
    found = find_characters((large != 0).float(), perfect_maps(owner))
    assert found.boxes.tolist() == [[30, 60, 150, 90], [30, 90, 150, 120]]


def test_specks_are_no_characters():
    owner = two_bars()
    owner[5:8, 80:83] = 3
    assert len(find_characters((owner != 0).float(), perfect_maps(owner)).boxes) == 2


def test_no_ink_holds_no_characters():
    found = find_characters(torch.zeros(32, 32), torch.full((4, 32, 32), -9.0))
    assert found.boxes.shape == (0, 4) and len(found.scores) == 0


def test_the_loss_is_smallest_for_what_is_right():
    owner = two_bars()[None]
    right = perfect_maps(owner[0])[None]
    for wrong in (torch.zeros_like(right), right.roll(12, 3), right * torch.tensor([1, -1, 1, 1])[:, None, None]):
        assert character_loss(right, owner) < character_loss(wrong, owner)


def test_pictures_without_ink_have_a_loss_too():
    loss = character_loss(torch.zeros(2, 4, 32, 32, requires_grad=True), torch.zeros(2, 32, 32, dtype=torch.long))
    assert torch.isfinite(loss)


def test_numbers_know_their_text_and_repeat_by_seed(frames):
    labels, pixels = list("0123456789"), (frames * 255).byte()
    some = list(make_numbers(pixels, labels, 40, seed=1))
    again = list(make_numbers(pixels, labels, 40, seed=1))
    assert [number.text for number in some] == [number.text for number in again]
    assert all(np.array_equal(one.image, other.image) for one, other in zip(some, again))
    lengths = {len(number.text) for number in some}
    assert 1 in lengths and max(lengths) > 5 and {number.touches for number in some} == {True, False}
    assert all(set(number.text) <= set("0123456789") for number in some)


def test_sheets_have_words_and_a_line_for_every_number_and_repeat_by_seed(frames):
    labels, pixels = list("0123456789"), (frames * 255).byte()
    some, again = (list(make_sheets(pixels, labels, 3, seed=2)) for _ in range(2))
    assert all(np.array_equal(one, other) and text == same for (one, text), (other, same) in zip(some, again))
    for sheet, text in some:
        is_ink = np.asarray(sheet) < 0.8 * np.median(sheet)
        assert 2 <= len(text.split("\n")) <= 4 and is_ink[:, 30:200].any() and is_ink[:, 360:].any()


def test_numbers_are_written_to_a_folder_of_each_kind_with_their_texts(frames, tmp_path):
    folders = write_numbers((frames * 255).byte(), list("0123456789"), 20, tmp_path)
    written = {}
    for kind in (folder.name for folder in folders):
        rows = [json.loads(row) for row in (tmp_path / kind / "metadata.jsonl").read_text().splitlines()]
        assert {row["file_name"] for row in rows} == {file.name for file in (tmp_path / kind).glob("*.png")}
        numbers = [number for row in rows for number in row["text"].split("\n")]
        assert all(map(str.isdecimal, numbers)) and (len(numbers) > len(rows)) == (kind == "sheets")
        assert all(Image.open(tmp_path / kind / row["file_name"]).size for row in rows)
        written[kind] = len(rows)
    assert written["apart"] and written["touching"] and written["apart"] + written["touching"] == 20
    assert (written["forms"], written["sheets"]) == (10, 4)


def test_the_whole_characters_are_told_with_the_frame_that_each_was_written_from(batch, frames):
    for (picture, number), frame in zip(batch.characters, batch.frames):
        own = batch.owner[picture] == number
        assert own.any() and not (own[0] | own[-1]).any() and not (own[:, 0] | own[:, -1]).any()
        assert 0 <= frame < len(frames) or frame == LETTER
    cut = batch.owner[:, [0, -1]].amax((1, 2)) > 0
    assert cut.any(), "a picture in which the border cuts off a character is needed here"
    assert len(batch.characters) > 100


def test_characters_that_are_told_apart_well_are_cut_out_as_what_was_written(batch):
    model, _ = load_checkpoint()
    maps = torch.stack([perfect_maps(owner) for owner in batch.owner])
    canvases, is_fair = cut_out(batch.ink, maps, batch.owner, batch.characters[:, [0, 1, 1]], 128)
    assert canvases.shape == (len(batch.characters), 1, 128, 128) and is_fair.float().mean() > 0.8
    with torch.inference_mode():
        answers = model(frames=model.frame(canvases)).logits.argmax(-1)
    assert (answers == batch.frames)[is_fair & (batch.frames != LETTER)].float().mean() > 0.9


def test_a_character_that_is_mostly_taken_for_another_is_not_fair_to_learn_from():
    owner = two_bars()
    maps = perfect_maps(owner)
    maps[3, owner == 1] += 10 / CHARACTER_SIZE  # as far as the other one's centre is away
    ink = (owner > 0).float()
    characters = torch.tensor([[0, 1, 1], [0, 2, 2], [0, 1, 2]])
    canvases, is_fair = cut_out(ink[None, None], maps[None], owner[None], characters, 64)
    assert not is_fair[0] and is_fair[2]
    assert canvases[0].sum() < ink[owner == 1].sum() and canvases[2].sum() == ink[owner > 0].sum()


def test_neighbours_stand_side_by_side_in_one_line(batch):
    assert len(batch.neighbours) > 30
    assert (batch.neighbours[:, 2] == batch.neighbours[:, 1] + 1).all()
    assert ((batch.neighbours[:, 1:] - 1) // LONGEST).diff(dim=1).eq(0).all()
    whole = set(map(tuple, batch.characters.tolist()))
    assert {(picture, number) for picture, *both in batch.neighbours.tolist() for number in both} <= whole
