import numpy as np
import pytest
import torch
from conftest import MNIST, only, python
from PIL import Image

from data_prep import Pages, draw_not_digits, forms, lines, not_digits, paper, surroundings
from data_prep.camera import jpeg, photograph
from data_prep.lines import LONGEST, Line, write_line
from data_prep.strokes import thin, write
from digit_model.modeling_digit import NO_LABEL


def test_a_page_and_its_ink_have_one_shape_and_range(frames):
    batch = Pages()(frames)
    assert batch.pages.shape == (10, 1, 128, 128) and batch.ink.shape == (10, 1, 128, 128)
    assert batch.owner.shape == (10, 128, 128) and batch.characters.shape == (10, LONGEST)
    assert batch.is_single.shape == batch.touches.shape == (10,)
    for images in (batch.pages, batch.ink):
        assert images.dtype == torch.float32 and images.min() >= 0 and images.max() <= 1


@pytest.mark.parametrize("string", [0, 1])
def test_what_a_form_prints_around_the_characters_is_no_ink(frames, monkeypatch, string):
    batches = []
    for draw in (forms.printed_fields, lambda line, size: torch.zeros(len(line.side), size, size)):
        monkeypatch.setattr("data_prep.pages.printed_fields", draw)
        torch.manual_seed(0)
        batches.append(only(string=string, columns=0, fields=1)(frames))
    form, blank = batches
    assert torch.equal(form.ink, blank.ink) and torch.equal(form.owner, blank.owner)
    assert ((form.pages - blank.pages).abs() > 0.1).any(3).any(2).float().mean() > 0.7


@pytest.mark.parametrize("kind", forms.KINDS, ids=lambda draw: draw.__name__)
def test_every_kind_of_field_stands_around_the_characters(frames, monkeypatch, kind):
    torch.manual_seed(0)
    monkeypatch.setattr(forms, "KINDS", {kind: 1.0})
    every, none = torch.ones(10).bool(), torch.zeros(10).bool()
    line = lines.compose(frames, every, every, none, torch.ones(10, 2), 128, 0.0)
    printed = forms.printed_fields(line, 128) > 0.5
    is_short = ((line.characters >= 0).sum(1) < 3) & (kind is forms.circles)
    assert (printed.any(2).any(1) | is_short).all() and printed.float().mean() < 0.2
    middle = line.centres[torch.arange(10), 0].round().long().clamp(0, 127)
    assert not printed[torch.arange(10), middle[:, 0], middle[:, 1]].any()


def test_a_circle_is_printed_around_each_of_several_digits_and_not_around_a_mark(monkeypatch):
    monkeypatch.setattr(forms, "KINDS", {forms.circles: 1.0})
    spots = torch.tensor([[64.0, 20 + 20 * place] for place in range(4)])
    for characters, circled in (([0, 1, 2, 3], [1, 1, 1, 1]), ([0, -1, 2, 3], [1, 0, 1, 1]), ([0, 1, -1, -2], [0] * 4)):
        frames, side, none = torch.zeros(1, 4, 28, 28), torch.full((1,), 20.0), torch.zeros(1, 4)
        line = lines.Line(torch.tensor([characters]), frames, spots[None], side, pen=none[:, 0], joined=none.bool())
        torch.manual_seed(0)
        printed = forms.printed_fields(line, 128)[0]
        above = [printed[:64, int(column) - 1 : int(column) + 2].amax() > 0.5 for _, column in spots]
        assert above == [bool(each) for each in circled]


def test_tiny_writing_leaves_the_paper_around_it_without_ink(frames):
    n, side = len(frames), 6.0
    ink = write(frames, torch.full((n,), side / 8), torch.full((n, 2), 32.0), torch.full((n,), side), (64, 64))
    assert (ink.amax((1, 2)) > 0.2).all() and ink[:, :24].max() == ink[:, :, 40:].max() == 0


def test_the_same_seed_gives_the_same_pages_and_another_one_others(frames):
    batches = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        batches.append(Pages()(frames).pages)
    assert torch.equal(batches[0], batches[1]) and not torch.equal(batches[0], batches[2])


def test_digits_stand_anywhere_from_a_tenth_of_the_page_to_all_of_it(frames):
    torch.manual_seed(0)
    is_ink = only()(frames.repeat(40, 1, 1, 1)).ink[:, 0] > 0.5
    rows, columns = is_ink.any(2), is_ink.any(1)
    heights = rows.sum(1)[rows.any(1)] / 128
    assert heights.min() < 0.12 and heights.max() > 0.85
    middles = torch.stack([axis.float().argmax(1) for axis in (rows, columns)])
    assert (middles < 10).any(1).all() and (middles > 90).any(1).all()


def test_a_page_without_writing_has_no_ink_and_counts_for_no_label(frames):
    batch = only(empty=1)(frames)
    assert batch.is_blank.all() and not batch.is_single.any()
    assert batch.pages.flatten(1).std(1).gt(0.005).any()  # the paper is there all the same


def test_grain_is_a_page_without_ink(frames):
    torch.manual_seed(0)
    batch = Pages(grain=1, neighbour=1)(frames)
    assert batch.is_blank.all() and not batch.is_single.any()
    assert (batch.pages.flatten(1).std(1) > 0.003).all()


def test_a_string_is_written_in_one_row_and_counts_for_no_label(frames):
    torch.manual_seed(0)
    batch = only(string=1, columns=0)(frames.repeat(4, 1, 1, 1))
    assert not batch.is_single.any()
    is_ink = batch.ink[:, 0] > 0.5
    assert (is_ink.any(1).sum(1) > is_ink.any(2).sum(1)).float().mean() > 0.8  # wider than high


def test_a_string_names_its_characters_from_left_to_right(frames):
    torch.manual_seed(0)
    batch = only(string=1)(frames.repeat(10, 1, 1, 1))
    for row, characters in enumerate(batch.characters.tolist()):
        written = [each for each in characters if each != -2]
        assert 2 <= len(written) <= LONGEST and characters[: len(written)] == written
        assert written[0] in (row, -1)  # a number may begin with a mark
        assert all(each == -1 or (each - row) % 100 <= place for place, each in enumerate(written))
    assert (batch.characters == -1).any()  # commas and dashes


def test_lines_stand_under_one_another_in_columns(frames):
    counts = []
    for columns in (0, 1):
        torch.manual_seed(0)
        is_ink = only(string=1, columns=columns)(frames.repeat(4, 1, 1, 1)).ink[:, 0] > 0.5
        rows = is_ink.any(2).float()
        counts.append((rows.diff(dim=1) > 0).sum(1).float().mean().item())
    assert counts[0] < 1.1 and counts[1] > 1.7


def test_characters_touch_in_some_strings_and_nowhere_else(frames):
    torch.manual_seed(0)
    touches = only(string=1)(frames.repeat(10, 1, 1, 1)).touches
    assert 0.2 < touches.float().mean() < 0.8
    assert not only()(frames).touches.any()


@pytest.mark.parametrize("apart", [4.0, 20.0])
def test_a_line_says_whose_ink_it_is(apart):
    bars = torch.zeros(1, LONGEST, 28, 28)
    bars[:, :, 4:24, 13:15] = 1
    characters = torch.tensor([[0, 1, -1] + [-2] * (LONGEST - 3)])
    centres = torch.tensor([[[64.0, 40.0 + apart * place] for place in range(LONGEST)]])
    line = Line(characters, bars, centres, torch.tensor([56.0]), torch.tensor([4.0]), characters > 9)
    ink, owner = write_line(line, (128, 100))
    assert ink.shape == owner.shape == (1, 128, 100)
    assert ((owner != 0) == (ink >= 0.5)).all() and set(owner.unique().tolist()) == {-1, 0, 1, 2}
    for place, number in enumerate((1, 2, -1)):
        assert (owner[0, 50:80, int(40 + apart * place)] == number).all()


def test_straight_lines_of_a_pen_are_ink_that_ends_on_the_page(frames):
    torch.manual_seed(0)
    batch = only(straight=1)(frames.repeat(10, 1, 1, 1))
    assert not batch.is_single.any()
    is_ink = batch.ink[:, 0] > 0.5
    assert is_ink.any(2).any(1).all()
    spans = torch.maximum(is_ink.any(1).sum(1), is_ink.any(2).sum(1))
    assert spans.min() < 40 and spans.max() > 100


def test_straight_lines_are_added_to_half_of_the_characters_or_stand_alone(frames):
    inks = []
    for straight in (0, 1):
        torch.manual_seed(0)
        inks.append(only(straight=straight)(frames.repeat(20, 1, 1, 1)).ink[:, 0] > 0.5)
    characters, lines = inks
    kept = (characters & lines).sum((1, 2)) / characters.sum((1, 2))
    assert 0.3 < (kept > 0.99).float().mean() < 0.7 and ((kept > 0.99) | (kept < 0.5)).float().mean() > 0.9


def test_a_neighbour_is_ink_as_well(frames):
    torch.manual_seed(0)
    alone = only()(frames.repeat(4, 1, 1, 1)).ink
    torch.manual_seed(0)
    together = only(neighbour=1)(frames.repeat(4, 1, 1, 1)).ink
    border = torch.ones(128, 128, dtype=torch.bool)
    border[2:-2, 2:-2] = False
    assert (together[..., border] > 0.5).any((1, 2)).float().mean() > (alone[..., border] > 0.5).any(
        (1, 2)
    ).float().mean()


def test_ink_is_darker_than_its_paper_or_lighter_on_inverted_pages(frames):
    torch.manual_seed(0)
    batch = only()(frames.repeat(20, 1, 1, 1))
    strength = []
    for page, ink in zip(batch.pages[:, 0], batch.ink[:, 0]):
        if (ink > 0.9).any():
            strength.append((page[ink < 0.1].mean() - page[ink > 0.9].mean()).item())
    assert 0.6 < np.mean(np.array(strength) > 0) < 0.95
    assert np.abs(strength).max() > 0.5 and np.abs(strength).min() < 0.1


@pytest.mark.parametrize("width", [2.0, 5.0, 12.0])
def test_a_pen_is_as_wide_as_it_was_asked_for(width):
    bar = torch.zeros(1, 1, 28, 28)
    bar[:, :, 4:24, 13:15] = 1
    side = torch.tensor([112.0])
    ink = write(bar, torch.tensor([width]), torch.tensor([[64.0, 64.0]]), side, (128, 128))[0]
    assert ink[54:74].sum(1).mean() == pytest.approx(width, abs=1.1)


def test_the_writers_own_pen_keeps_its_width():
    bar = torch.zeros(1, 1, 28, 28)
    bar[:, :, 4:24, 12:16] = 1
    ink = write(bar, torch.zeros(1), torch.tensor([[64.0, 64.0]]), torch.tensor([112.0]), (128, 128))[0]
    assert ink[54:74].sum(1).mean() == pytest.approx(16, abs=3)


def written_with_a_fine_pen(frame):
    ink = write(frame, torch.tensor([2.0]), torch.tensor([[64.0, 64.0]]), torch.tensor([112.0]), (128, 128))[0]
    return ink > 0.5


def a_nine(loop):
    """Its loop, in [0, 1], where the pen has left the paper white or gone over it again."""
    frame = torch.zeros(1, 1, 28, 28)
    frame[:, :, 4:24, 15:18] = 1
    frame[:, :, 4:13, 9:18] = 1
    frame[:, :, 7:10, 12:15] = loop
    return frame


@pytest.mark.parametrize("loop", (0.0, 0.7))
def test_a_loop_stays_open_though_a_thick_pen_has_nearly_closed_it(loop):
    assert (written_with_a_fine_pen(a_nine(loop))[50].int().diff() > 0).sum() == 2  # strokes


def test_a_loop_that_the_pen_has_filled_stays_thicker_than_the_stem():
    ink = written_with_a_fine_pen(a_nine(loop=1.0))
    assert ink[50].sum() >= 3 * ink[75].sum()


def test_a_strip_holds_the_writing_of_its_page_with_its_owner_and_its_paper(frames):
    torch.manual_seed(0)
    batch = Pages(size=256, string=1, columns=0, straight=0, neighbour=0, empty=0, grain=0)(frames.repeat(3, 1, 1, 1))
    strips = batch.strips(128)
    assert strips.pages.shape == strips.ink.shape == (30, 1, 128, 256)
    is_low = (batch.ink[:, 0].amax(2) > 0).sum(1) < 80
    assert is_low.sum() >= 10
    for page, strip in zip(*(zip(*(layer[is_low] for layer in each[:3])) for each in (batch, strips))):
        assert (strip[1] > 0).sum() == (page[1] > 0).sum()
        is_here = [
            all(part.narrow(-2, top, 128).equal(of_strip) for part, of_strip in zip(page, strip)) for top in range(129)
        ]
        assert any(is_here)


def test_no_frames_are_no_pages():
    assert write(torch.zeros(0, 1, 28, 28), torch.zeros(0), torch.zeros(0, 2), torch.zeros(0), (64, 64)).shape == (
        0,
        64,
        64,
    )


def test_many_pictures_are_thinned_at_once_as_each_is_alone():
    pictures = torch.rand(130, 20, 20, generator=torch.Generator().manual_seed(0)) < 0.6
    rounds = torch.arange(130) % 5
    alone = [thin(picture[None], number[None]) for picture, number in zip(pictures, rounds)]
    assert thin(pictures, rounds).equal(torch.cat(alone))


def test_thinning_leaves_one_connected_line():
    bar = torch.zeros(1, 60, 60, dtype=torch.bool)
    bar[:, 10:50, 25:34] = True
    line = thin(bar, rounds=torch.tensor([6]))[0]
    assert line.sum(1).max() == 1 and 28 <= line.sum() <= 40
    rows = line.any(1).nonzero().flatten()
    assert (rows.diff() == 1).all()


def test_jpeg_of_a_low_quality_loses_more_than_one_of_a_high_quality():
    torch.manual_seed(0)
    images = torch.rand(1, 64, 64)
    losses = [(jpeg(images, torch.full((1, 1, 1), quality)) - images).abs().mean() for quality in (95.0, 60.0, 20.0)]
    assert losses[0] < losses[1] < losses[2] and losses[0] < 0.05


@pytest.mark.parametrize("kind", paper._KINDS)
def test_every_paper_is_printed_on_but_the_plain_one(monkeypatch, kind):
    monkeypatch.setattr(paper, "_KINDS", {name: float(name == kind) for name in paper._KINDS})
    torch.manual_seed(0)
    printed = paper.printed_rules(60, 128, torch.device("cpu"))
    assert printed.min() >= 0 and printed.max() <= 1
    share = (printed > 0.1).flatten(1).float().mean(1)
    assert (share == 0).all() if kind == "plain" else (share > 0).float().mean() > 0.8 and share.mean() < 0.5


def test_light_is_uneven_and_casts_shadows():
    torch.manual_seed(0)
    falls = paper.light(200, 128, torch.device("cpu"))
    assert falls.min() > 0
    darkest = falls.amin((1, 2)) / falls.amax((1, 2))
    assert darkest.median() < 0.85 and darkest.min() < 0.45
    steepest = torch.maximum(falls.diff(dim=1).abs().amax((1, 2)), falls.diff(dim=2).abs().amax((1, 2)))
    assert (steepest > 0.03).float().mean() > 0.03  # the edge of a shadow


def test_things_at_the_border_leave_the_middle_free():
    torch.manual_seed(0)
    objects = surroundings.border_objects(100, 128, torch.device("cpu"))
    assert (objects.amax((1, 2)) > 0.5).float().mean() > 0.9 and objects[:, 40:88, 40:88].max() < 0.5
    is_on = objects > 0.5
    changes = torch.stack([is_on[:, edge].diff(dim=1).sum(1) for edge in (4, -5)]).amax(0)
    assert (changes > 8).any()  # the rings of a spiral
    at_edge = torch.stack([is_on[:, 0].sum(1), is_on[:, -1].sum(1), is_on[..., 0].sum(1), is_on[..., -1].sum(1)])
    assert ((at_edge.amax(0) == 0) & is_on.any(2).any(1)).float().mean() > 0.1  # punched holes


def test_what_a_sheet_lies_on_begins_beyond_its_writing(frames):
    torch.manual_seed(0)
    ink = only()(frames.repeat(10, 1, 1, 1)).ink[:, 0]
    changed = (surroundings.on_a_table(torch.full_like(ink, 5.0), ink) - 5).abs() > 1.1
    assert not (changed & (ink > 0.5)).any() and changed.any(2).any(1).float().mean() > 0.8
    corners = changed[:, [0, 0, -1, -1], [0, -1, 0, -1]].sum(1)
    assert len(corners.unique()) > 2  # some lie at one side of the picture, some in its middle


@pytest.mark.parametrize("share", ["objects", "table"])
def test_what_lies_around_a_sheet_is_no_ink(frames, share):
    batches = []
    for chosen in (0, 1):
        torch.manual_seed(0)
        batches.append(only(**{"objects": 0, "table": 0, share: chosen})(frames))
    without, with_it = batches
    assert torch.equal(without.ink, with_it.ink) and torch.equal(without.owner, with_it.owner)
    assert ((without.pages - with_it.pages).abs() > 0.1).any(3).any(2).float().mean() > 0.5


def test_pages_are_enlarged_from_a_few_pixels_where_their_pen_is_not_too_fine(frames):
    shares = []
    for seed in range(4):  # one number of pixels for all pages of a batch
        pages = []
        for small in (0, 1):
            torch.manual_seed(seed)
            pages.append(only(small=small)(frames))
        assert torch.equal(pages[0].ink, pages[1].ink)
        is_enlarged = (pages[0].pages != pages[1].pages).flatten(1).any(1)
        detail = [page.pages[is_enlarged].diff(dim=3).abs().amax((1, 2, 3)) for page in pages]
        assert (detail[1] < detail[0]).float().mean() > 0.9
        shares.append(is_enlarged.float().mean())
    assert 0.2 < torch.stack(shares).mean() < 1


def test_a_camera_blurs_and_adds_noise():
    torch.manual_seed(0)
    edge = torch.zeros(100, 64, 64)
    edge[:, :, 32:] = 1
    taken = photograph(edge)
    assert taken.min() >= 0 and taken.max() <= 1
    between = (taken[:, 32, 30:34].diff(dim=1).abs().amax(1) < 0.9).float().mean()
    assert between > 0.9 and (taken[:, :, :24].std((1, 2)) > 1e-3).float().mean() > 0.3


def test_not_digits_are_frames_with_ink_and_repeat_by_seed():
    digits = list("0123456789")
    frames, labels = draw_not_digits(200, digits, seed=3)
    assert frames.shape == (200, 1, 28, 28) and frames.dtype == torch.uint8
    assert (frames.amax((1, 2, 3)) > 100).all() and (labels == NO_LABEL).all() and len(labels) == 200
    assert torch.equal(frames, draw_not_digits(200, digits, seed=3)[0])
    assert not torch.equal(frames, draw_not_digits(200, digits, seed=4)[0])
    assert not torch.equal(frames, draw_not_digits(200, digits, "validation", seed=3)[0])


def test_letters_written_by_hand_are_practised_by_a_model_that_names_digits(monkeypatch):
    drawn = []
    monkeypatch.setattr(not_digits, "handwritten_letter", lambda random: drawn.append("a") or Image.new("L", (28, 28)))
    draw_not_digits(100, ["0", "1"])
    assert 15 < len(drawn) < 45
    draw_not_digits(100, ["a", "b"])
    draw_not_digits(100, ["0", "1"], "validation")
    assert len(drawn) < 45


def test_a_model_that_names_letters_is_not_taught_that_letters_are_nothing(monkeypatch):
    drawn = []
    monkeypatch.setattr(
        not_digits, "_letter", lambda random, path, letter: drawn.append(letter) or Image.new("L", (28, 28))
    )
    draw_not_digits(300, ["a", "b"])
    assert drawn and not any(letter.isalpha() for letter in drawn)
    drawn.clear()
    draw_not_digits(300, ["0", "1"])
    assert any(letter.isalpha() for letter in drawn) and not set(drawn) & set("0123456789OoIlSZ")


def test_a_model_that_names_symbols_is_not_taught_that_they_are_nothing(monkeypatch):
    drawn, labels = [], list("+%&=")
    monkeypatch.setattr(
        not_digits, "_letter", lambda random, path, letter: drawn.append(letter) or Image.new("L", (28, 28))
    )
    draw_not_digits(300, ["a"])
    assert set(drawn) & set(labels)
    drawn.clear()
    draw_not_digits(300, labels)
    assert drawn and not set(drawn) & set(labels)


def test_pages_are_shown_on_a_contact_sheet(tmp_path):
    done = python("-m", "data_prep", "pages", "--mnist", MNIST, "--contact_sheet", tmp_path / "pages.png")
    assert done.returncode == 0, done.stderr
    sheet = Image.open(tmp_path / "pages.png")
    assert sheet.width > 10 * 128 and sheet.height > 12 * 128
    pages, ink = (np.asarray(sheet.convert("L"))[top : top + 128, -10 * 132 :] for top in (4, 4 + 132))
    assert len(np.unique(pages)) > 100 and np.ptp(ink) == 255 and ink.mean() < 60 < pages.mean()
