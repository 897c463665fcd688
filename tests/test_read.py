"""`python -m digit_model read`, as a user runs it, and the same reader over shards."""

import csv
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, call, last_words, page_of, python
from datasets import Dataset
from PIL import Image

from digit_model import __main__ as command_line
from digit_model import reader as reader_module
from digit_model.__main__ import main
from digit_model.folders import find_pictures
from digit_model.reader import COLUMNS, NumberReader, _in_bounds, read_in_processes


@pytest.fixture
def folder(digits, tmp_path):
    """Scans of two digits each, in folders, one of them damaged."""
    folder = tmp_path / "scans"
    (folder / "more").mkdir(parents=True)
    for number, text in enumerate(["01", "12", "24", "45", "56", "67", "78", "90"]):
        page_of(digits, text).convert("RGB").save(folder / ("more" if number % 2 else "") / f"{number}.png")
    (folder / "5.jpg").write_bytes(b"no picture")
    (folder / "notes.txt").write_text("no picture either, and none that anybody would read")
    return folder


def rows_of(table) -> list[dict]:
    return list(csv.DictReader(table.open(newline="", encoding="utf-8")))


EXPECTED = ["01", "24", "56", "", "78", "12", "45", "67", "90"]  # as 0, 2, 4, 5.jpg, 6 and those in more/ are sorted


def test_every_picture_is_a_row_in_order_and_an_unreadable_one_says_why(folder, tmp_path):
    done = python("-m", "digit_model", "read", folder, "--csv", tmp_path / "numbers.csv", "--batch_size", "4")
    assert done.returncode == 1 and done.stderr.strip().endswith(
        "1 of 9 pictures could not be read; their rows say why."
    )
    assert "Traceback" not in done.stderr
    rows = rows_of(tmp_path / "numbers.csv")
    assert [row["file"] for row in rows] == find_pictures([str(folder)]) and list(rows[0]) == COLUMNS
    assert [row["text"] for row in rows] == EXPECTED
    assert "5.jpg is not a picture" in rows[3]["error"] and rows[3]["text"] == ""
    assert all(0.3 < float(row["score"]) <= 1 and not row["error"] for row in rows if row is not rows[3])


def test_the_rows_are_printed_where_no_file_is_named(folder, capsys):
    call(main, "read", folder / "0.png", folder / "2.png", "--quiet")
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["text"] for row in rows] == ["01", "24"]


def test_a_table_that_was_cut_off_goes_on_where_it_was(folder, tmp_path):
    table = tmp_path / "numbers.csv"
    last_words(main, "read", folder, "--csv", table, "--quiet")
    whole = table.read_bytes()
    table.write_bytes(whole[: whole.index(b"56") + 1])  # in the middle of the third row
    last_words(main, "read", folder, "--csv", table, "--resume", "--quiet")
    assert [row["text"] for row in rows_of(table)] == EXPECTED
    assert "exists: pass --resume" in last_words(main, "read", folder, "--csv", table)
    first = rows_of(table)[0]["file"]
    sentence = last_words(main, "read", folder / "more", "--csv", table, "--resume")
    assert f"has rows of other pictures, first of {first};" in sentence


def test_an_empty_name_is_not_the_folder_one_stands_in():
    assert "One of the names is empty" in last_words(main, "read", "")


def test_rows_with_an_error_count_where_a_table_goes_on(folder, tmp_path):
    table = tmp_path / "numbers.csv"
    first = last_words(main, "read", folder, "--csv", table, "--quiet")
    assert "could not be read" in first
    assert last_words(main, "read", folder, "--csv", table, "--quiet", "--resume") == first


def test_a_device_that_is_not_there_leaves_no_table(folder, tmp_path, capsys):
    with pytest.raises(SystemExit):
        call(main, "read", folder, "--csv", tmp_path / "numbers.csv", "--device", "nowhere")
    assert "nowhere cannot be used" in capsys.readouterr().err and not (tmp_path / "numbers.csv").exists()


def test_a_stop_by_the_user_keeps_the_rows_so_far(folder, tmp_path, monkeypatch):
    read = NumberReader.read

    def stopped(self, pictures):
        for number, row in enumerate(read(self, pictures)):
            if number == 3:
                raise KeyboardInterrupt
            yield row

    monkeypatch.setattr(reader_module.NumberReader, "read", stopped)
    table = tmp_path / "numbers.csv"
    assert "--resume goes on after them" in last_words(main, "read", folder, "--csv", table, "--quiet")
    assert [row["text"] for row in rows_of(table)] == EXPECTED[:3]
    monkeypatch.undo()
    last_words(main, "read", folder, "--csv", table, "--resume", "--quiet")
    assert [row["text"] for row in rows_of(table)] == EXPECTED


def test_several_processes_give_the_same_rows_even_after_this_one_has_read(folder, tmp_path):
    for processes in (1, 2):
        arguments = ["--csv", tmp_path / f"{processes}.csv", "--num_proc", processes, "--batch_size", "4", "--quiet"]
        assert "1 of 9 pictures could not be read" in last_words(main, "read", folder, *arguments)
    assert (tmp_path / "1.csv").read_bytes() == (tmp_path / "2.csv").read_bytes()


def test_a_stop_by_the_user_is_one_among_several_processes_too(folder, tmp_path):
    table = tmp_path / "numbers.csv"
    command = [sys.executable, "-m", "digit_model", "read", *[folder / "0.png"] * 400, "--csv", table]
    reading = subprocess.Popen(
        [*command, "--num_proc", "2", "--batch_size", "4"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # a shell has what it runs in the background ignore Ctrl-C
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not (table.exists() and len(rows_of(table)) > 8):
        time.sleep(0.1)
        assert reading.poll() is None
    os.killpg(reading.pid, signal.SIGINT)  # as a terminal sends Ctrl-C: to each of the processes
    stderr = reading.communicate(timeout=60)[1].decode()
    assert "--resume goes on after them" in stderr and "Traceback" not in stderr
    rows = rows_of(table)
    assert 8 < len(rows) < 400 and {row["text"] for row in rows} == {"01"}


def test_processes_that_read_end_with_the_one_that_was_killed(folder, tmp_path):
    table = tmp_path / "numbers.csv"
    command = [sys.executable, "-m", "digit_model", "read", *[folder / "0.png"] * 400, "--csv", table]
    command += ["--num_proc", "2", "--batch_size", "4", "--quiet"]
    reading = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE)
    while not (table.exists() and len(rows_of(table)) > 8):
        time.sleep(0.1)
        assert reading.poll() is None
    reading.kill()
    reading.communicate(timeout=30)  # all that hold its stderr have ended


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names are text elsewhere")
def test_a_name_that_is_no_text_is_a_row_to_go_on_after(folder, tmp_path):
    (folder / "0.png").rename(folder / "0\udce9.png")
    for resumed in ([], ["--resume"]):
        last_words(main, "read", folder, "--csv", tmp_path / "numbers.csv", "--quiet", *resumed)
    rows = csv.DictReader((tmp_path / "numbers.csv").open(newline="", errors="surrogateescape", encoding="utf-8"))
    assert [row["text"] for row in rows] == EXPECTED


def test_what_only_looks_like_a_picture_is_passed_over(folder):
    found = find_pictures([str(folder)])
    (folder / "folder.png").mkdir()
    (folder / "letter.txt").write_bytes(b"%PDF-1.7")
    (folder / "._0.png").write_bytes(b"left by a Mac")
    (folder / ".trash").mkdir()
    shutil.copy(found[0], folder / ".trash" / "0.png")
    assert find_pictures([str(folder)]) == found


class Killed(NumberReader):
    def read(self, pictures):
        os.kill(os.getpid(), signal.SIGKILL)


def test_pictures_are_read_together_as_far_as_they_fit_into_memory():
    inputs = [{"pictures": [torch.empty(side, 1000, dtype=torch.uint8)]} for side in (1000, 2000, 2000, 9000, 100)]
    assert [len(group) for group in _in_bounds(inputs)] == [2, 1, 1, 1]


@pytest.mark.parametrize("has_table", [True, False])
def test_a_process_that_is_killed_is_one_sentence(has_table, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(command_line, "NumberReader", Killed)
    target = ["--csv", tmp_path / "numbers.csv"] if has_table else []
    sentence = last_words(main, "read", folder, "--num_proc", "2", "--quiet", *target)
    kept = "kept; --resume goes on after them." if has_table else "kept."
    assert "try a smaller --num_proc" in sentence and sentence.endswith(kept)


@pytest.mark.parametrize("content", [b"a diary\nof mine\n", b"other,columns\r\n1,2\r\n3", b"\xff\xfe\x00"])
def test_a_file_that_is_no_such_table_is_left_as_it_is(folder, tmp_path, content):
    (tmp_path / "mine.csv").write_bytes(content)
    sentence = last_words(main, "read", folder, "--csv", tmp_path / "mine.csv", "--resume")
    assert "has rows of other pictures" in sentence and (tmp_path / "mine.csv").read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"file,te", b"file,text,score,error\r\n", b"file,text,score,error\r\n/sca"])
def test_a_table_without_rows_gets_its_head_once(folder, tmp_path, content):
    (tmp_path / "numbers.csv").write_bytes(content)
    call(main, "read", folder / "0.png", "--csv", tmp_path / "numbers.csv", "--resume", "--quiet")
    lines = (tmp_path / "numbers.csv").read_text().splitlines()
    assert len(lines) == 2 and lines[0] == "file,text,score,error" and ",01," in lines[1]


def test_damaged_exif_counts_as_none(digits, tmp_path, capsys):
    page = page_of(digits, "42")
    page.save(tmp_path / "damaged.png", exif=b"Exif\0\0no tags at all")
    call(main, "read", tmp_path / "damaged.png", "--quiet")
    assert ",42," in capsys.readouterr().out


def test_every_page_of_a_scan_is_a_row_and_one_that_is_too_large_or_damaged_says_so(digits, tmp_path):
    pages = [page_of(digits, "12"), Image.new("1", (20_000, 20_000)), page_of(digits, "90"), page_of(digits, "45")]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:], compression="tiff_deflate")
    content = bytearray((tmp_path / "scan.tif").read_bytes())
    content[content.rindex(b"\x00\x01\x03\x00") + 2] = 99  # the width of the last page is of no type that there is
    (tmp_path / "scan.tif").write_bytes(content)
    pages[0].save(tmp_path / "single.tif")
    table = tmp_path / "numbers.csv"
    for resumed in ([], ["--resume"]):
        sentence = last_words(main, "read", tmp_path, "--csv", table, "--quiet", *resumed)
        assert sentence == "2 of 5 pictures could not be read; their rows say why."
    rows = rows_of(table)
    names = ["scan.tif#page=1", "scan.tif#page=2", "scan.tif#page=3", "scan.tif#page=4", "single.tif"]
    assert [row["file"] for row in rows] == [str(tmp_path / name) for name in names]
    assert [row["text"] for row in rows] == ["12", "", "90", "", "12"]
    assert "100,000,000" in rows[1]["error"] and "page 4 is damaged" in rows[3]["error"]


def test_every_page_of_a_pdf_is_a_row(digits, tmp_path):
    pages = [page_of(digits, text) for text in ("12", "90", "345")]
    pages[0].save(tmp_path / "scan.pdf", save_all=True, append_images=pages[1:], resolution=200)
    (tmp_path / "empty.pdf").write_bytes(b"")
    table = tmp_path / "numbers.csv"
    assert "1 of 4 pictures" in last_words(main, "read", tmp_path, "--csv", table, "--quiet")
    rows = {Path(row["file"]).name: (row["text"], row["error"]) for row in rows_of(table)}
    assert rows.pop("empty.pdf")[1].startswith("empty.pdf is not a picture that can be read")
    assert rows == {f"scan.pdf#page={page}": (text, "") for page, text in ((1, "12"), (2, "90"), (3, "345"))}


@pytest.mark.slow
def test_ray_gives_the_same_rows_as_a_map_over_shards(folder):
    ray = pytest.importorskip("ray", reason="pip install 'ray[data]' to read on several machines")
    upright = Image.open(folder / "0.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(folder / "sideways.jpg", exif=exif)
    upright.convert("P").save(folder / "palette.png")
    files = find_pictures([str(folder)])
    shards = Dataset.from_dict({"file": files})
    expected = list(shards.map(NumberReader(batch_size=4), batched=True, batch_size=4, num_proc=2))
    assert expected == list(read_in_processes(NumberReader(batch_size=4), files, 2))
    ray.init(
        num_cpus=4, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": {"PYTHONPATH": str(ROOT)}}
    )
    try:
        pictures = ray.data.read_binary_files(str(folder), include_paths=True, file_extensions=["png", "jpg"])
        rows = pictures.map_batches(NumberReader, batch_size=4, compute=ray.data.ActorPoolStrategy(size=2)).take_all()
    finally:
        ray.shutdown()
    rows = sorted(({column: row[column] for column in COLUMNS} for row in rows), key=lambda row: row["file"])
    for one, other in zip(rows, sorted(expected, key=lambda row: row["file"]), strict=True):
        assert {**one, "error": bool(one["error"])} == {**other, "error": bool(other["error"])}
    assert [row["text"] for row in rows if row["file"].endswith(("sideways.jpg", "palette.png"))] == ["01", "01"]


def test_arrays_and_bytes_are_read_as_files_are(folder):
    reader = NumberReader()
    file = str(folder / "0.png")
    expected = reader({"file": [file]})
    assert reader({"image": np.asarray(Image.open(file))[None], "path": [file]}) == expected
    assert reader({"bytes": [(folder / "0.png").read_bytes()], "path": [file]}) == expected


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["tests/data/mnist"], "The folder tests/data/mnist holds no pictures"),
        (["tests/data", "--model", "./nowhere"], "holds no pictures"),
        (["nothing.png", "--model", "./nowhere"], "No digit model can be loaded from ./nowhere"),
        (["nothing.png", "--csv", "./nowhere/numbers.csv"], "There is no folder for nowhere/numbers.csv"),
        (["nothing.png", "--csv", "/dev/null"], "/dev/null is no file for rows"),
        (["nothing.png", "--csv", "tests"], "tests is a folder: name a file in it"),
        (["nothing.png", "--resume"], "name it with --csv"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(arguments, sentence):
    assert sentence in last_words(main, "read", *arguments)


def test_memory_stays_the_same_however_many_pictures_there_are(folder, tmp_path):
    """Rows come out while pictures go in: a hundred of each are never there at once."""
    reader, ahead = NumberReader(batch_size=4), []

    def pictures():
        for _ in range(100):
            ahead.append(1)
            yield "0.png", str(folder / "0.png")

    most = 0
    for _ in reader.read(pictures()):
        most = max(most, len(ahead))
        ahead.pop()
    assert most <= 12
