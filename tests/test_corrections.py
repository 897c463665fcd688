"""Corrections are a custom dataset, and none is lost."""

import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import ROOT, scan
from PIL import Image

from data_prep import Corrections, DataArguments, DataError, merge

LABELS = list("0123456789")


def files_of(folder) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_a_correction_is_a_labelled_picture_of_its_writer(digits, tmp_path):
    path = Corrections(tmp_path, LABELS).add(scan(digits[7]), "7", "ada")
    assert path.parent == tmp_path / "7" and path.name.startswith("ada_") and files_of(tmp_path) == [f"7/{path.name}"]
    assert np.array_equal(np.asarray(Image.open(path).convert("L")), np.asarray(scan(digits[7])))


def test_the_same_picture_is_kept_once_and_moves_with_its_label(digits, tmp_path):
    corrections = Corrections(tmp_path, LABELS)
    first = corrections.add(scan(digits[7]), "7", "ada")
    assert corrections.add(scan(digits[7]), "7", "bo") == first
    second = corrections.add(scan(digits[7]), "1", "ada")
    assert files_of(tmp_path) == [f"1/{second.name}"]


def test_large_pictures_are_shrunk_and_say_nothing_of_their_camera(tmp_path):
    photo, exif = Image.new("RGB", (3000, 2000), "white"), Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "a phone"
    photo.save(tmp_path / "photo.jpg", exif=exif)
    kept = Image.open(Corrections(tmp_path / "kept", LABELS).add(Image.open(tmp_path / "photo.jpg"), "1", "ada"))
    assert kept.size == (683, 1024) and not kept.getexif() and not kept.info


@pytest.mark.parametrize("label", ["", "x", "../3", "10"])
def test_only_the_labels_of_the_model_are_taken(digits, tmp_path, label):
    with pytest.raises(DataError, match="is none of the labels"):
        Corrections(tmp_path / "kept", LABELS).add(digits[3], label, "ada")
    assert files_of(tmp_path) == []


@pytest.mark.parametrize("label", ["/", "..", "a/b", "."])
def test_a_label_that_can_be_no_folder_is_refused(digits, tmp_path, label):
    with pytest.raises(DataError, match="no folder may have that name"):
        Corrections(tmp_path / "kept", ["1", label]).add(digits[3], label, "ada")
    assert files_of(tmp_path) == []


def test_a_number_is_corrected_label_by_label_however_long_they_are(tmp_path):
    corrections = Corrections(tmp_path, ["k", "ka", "ksha", "10"])
    assert corrections.labels_in("kak 10\nksha") == ["ka", "k", "10", "ksha"]
    with pytest.raises(DataError, match="'s' is none of the labels"):
        corrections.labels_in("kas10")


def test_a_number_may_be_written_in_bangla(tmp_path):
    assert Corrections(tmp_path, LABELS).labels_in("১০ ২") == ["1", "0", "2"]


def test_separators_are_left_out_of_a_number_unless_they_are_labels(tmp_path):
    assert Corrections(tmp_path, LABELS).labels_in("-1,200.50 =") == list("120050")
    assert Corrections(tmp_path, [*LABELS, "-"]).labels_in("-1.2") == list("-12")


def test_a_full_folder_takes_no_more_and_says_so(digits, tmp_path):
    corrections = Corrections(tmp_path, LABELS, max_bytes=1000)
    corrections.add(digits[0], "0", "ada")
    with pytest.raises(DataError, match="is full"):
        for digit in digits[1:]:
            corrections.add(scan(digit), "1", "ada")
    there = sum(path.stat().st_size for path in tmp_path.glob("*/*"))
    with pytest.raises(DataError, match="is full"):
        Corrections(tmp_path, LABELS, max_bytes=there + 10).add(digits[2], "2", "ada")


def test_a_picture_gets_another_label_in_a_full_folder_as_often_as_one_likes(digits, tmp_path):
    size = Corrections(tmp_path, LABELS).add(digits[0], "0", "ada").stat().st_size
    full = Corrections(tmp_path, LABELS, max_bytes=size + 10)
    for label in "1234":
        path = full.add(digits[0], label, "ada")
        assert files_of(tmp_path) == [f"{label}/{path.name}"]
    with pytest.raises(DataError, match="is full"):
        full.add(digits[1], "1", "ada")


def test_a_picture_that_a_crash_left_under_two_labels_keeps_the_one_it_gets(digits, tmp_path):
    path = Corrections(tmp_path, LABELS).add(digits[0], "7", "ada")
    (tmp_path / "1").mkdir()
    shutil.copy(path, tmp_path / "1")
    assert Corrections(tmp_path, LABELS).add(digits[0], "7", "ada") == path
    assert files_of(tmp_path) == [f"7/{path.name}"]


def test_a_picture_that_could_not_be_written_wholly_has_no_name(digits, tmp_path, monkeypatch):
    def fail(_):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="no space left"):
        Corrections(tmp_path, LABELS).add(digits[0], "0", "ada")
    assert not list(tmp_path.glob("*/*"))


def test_visitors_who_disagree_at_once_leave_one_picture(digits, tmp_path):
    corrections = Corrections(tmp_path, LABELS)
    with ThreadPoolExecutor(20) as threads:
        list(threads.map(lambda number: corrections.add(digits[0], str(number % 10), f"v{number}"), range(200)))
    assert len(files_of(tmp_path)) == 1


def test_visitors_who_correct_at_once_lose_nothing(tmp_path):
    corrections = Corrections(tmp_path, LABELS)

    def visitor(number: int) -> None:
        for shade in range(10):
            corrections.add(Image.new("L", (8, 8), 10 * number + shade), str(shade), f"v{number}")

    threads = [threading.Thread(target=visitor, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(files_of(tmp_path)) == 200


ENDLESS = """
import sys
from PIL import Image
from data_prep import Corrections
corrections = Corrections(sys.argv[1], list("0123456789"))
for number in range(1000):
    print(corrections.add(Image.effect_noise((64, 64), 60).resize((200, 200)), str(number % 10), "ada"), flush=True)
"""


def test_a_crash_during_a_thousand_corrections_loses_none_that_was_acknowledged(tmp_path):
    keeping = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    acknowledged = [keeping.stdout.readline().strip() for _ in range(60)]
    keeping.kill()
    acknowledged += [line.strip() for line in keeping.stdout if line.endswith(".png\n")]
    keeping.wait()
    assert 60 <= len(acknowledged) < 1000
    for path in acknowledged:
        Image.open(path).load()
    for path in tmp_path.glob("*/*"):  # nothing half-written has a name that is read
        Image.open(path).load()
    Corrections(tmp_path, LABELS)
    assert not list(tmp_path.glob(".*"))


def test_they_are_taken_as_custom_data(digits, tmp_path):
    corrections = Corrections(tmp_path / "corrections", LABELS)
    for label, digit in enumerate(digits):
        for writer in ("ada", "bo"):
            corrections.add(scan(digit, side=90 if writer == "bo" else 96), str(label), writer)
    dataset = merge(DataArguments(mnist="none", custom_data=[str(tmp_path / "corrections")]), say=lambda text: None)
    assert sum(len(rows) for rows in dataset.values()) == 20
    assert {writer for rows in dataset.values() for writer in rows["writer"]} == {"ada", "bo"}
