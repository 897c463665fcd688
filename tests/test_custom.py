import json
import shutil
import sys
import zipfile

import pyarrow.parquet
import pytest
from conftest import scan
from datasets import ClassLabel, Dataset, Features, Image, Value
from PIL import Image as PILImage

from data_prep.custom import read_custom
from data_prep.errors import DataError
from data_prep.mnist import LABELS
from data_prep.pictures import frames_of


def zip_of(folder, path):
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.png")):
            archive.write(file, file.relative_to(folder))
    return path


def test_a_folder_and_a_zip_of_it_give_the_same_pictures(custom_folder, tmp_path):
    folder, _ = read_custom([str(custom_folder)], LABELS)
    archive, report = read_custom([str(zip_of(custom_folder, tmp_path / "custom.zip"))], LABELS)
    assert "40 pictures read" in report
    for one, other in zip(folder["train"], archive["train"], strict=True):
        assert one["label"] == other["label"] and one["image"].tobytes() == other["image"].tobytes()


def test_the_writer_stands_before_the_underscore(custom_folder):
    scan(PILImage.new("L", (28, 28), 90)).save(custom_folder / "0" / "nobody.png")
    data, _ = read_custom([str(custom_folder)], LABELS)
    assert set(data["train"]["writer"]) == {"ada", "bo", "cy", "di", ""}


def test_a_name_that_begins_with_the_label_tells_no_writer(custom_folder):
    for file in list(custom_folder.rglob("*.png")):
        file.rename(file.with_name(f"{file.parent.name}_{file.name}"))
    data, _ = read_custom([str(custom_folder)], LABELS)
    assert set(data["train"]["writer"]) == {""}


def test_a_damaged_member_of_a_zip_is_skipped(custom_folder, tmp_path):
    archive = zip_of(custom_folder, tmp_path / "custom.zip")
    content = bytearray(archive.read_bytes())
    content[80:100] = bytes(20)
    archive.write_bytes(content)
    _, report = read_custom([str(archive)], LABELS)
    assert "39 pictures read" in report and "1 skipped unreadable" in report


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="names are text elsewhere")
def test_a_name_that_is_no_text_is_a_name(custom_folder):
    file = next(custom_folder.rglob("*.png"))
    file.rename(file.with_name("caf\udce9.png"))
    data, report = read_custom([str(custom_folder)], LABELS)
    assert len(data["train"]) == 40 and "40 pictures read" in report


def test_a_parquet_file_keeps_labels_and_writers(custom_folder, tmp_path):
    data, _ = read_custom([str(custom_folder)], LABELS)
    features = Features({"image": Image(), "label": ClassLabel(names=LABELS), "writer": Value("string")})
    data["train"].select_columns(["image", "label", "writer"]).cast(features).to_parquet(tmp_path / "mine.parquet")
    again, _ = read_custom([str(tmp_path / "mine.parquet")], LABELS)
    assert again["train"]["label"] == data["train"]["label"] and again["train"]["writer"] == data["train"]["writer"]


def test_columns_are_known_by_their_names_and_the_first_writer_by_its_number(custom_folder, tmp_path):
    data, _ = read_custom([str(custom_folder)], LABELS)
    writers = ["ada", "bo", "cy", "di"]
    features = {"writer": ClassLabel(names=writers), "image": Image(), "label": ClassLabel(names=LABELS)}
    rows = data["train"].select_columns(list(features)).cast(Features(features)).to_list()
    rows.append({"writer": 0, "image": None, "label": 0})
    Dataset.from_list(rows, features=Features(features)).to_parquet(tmp_path / "mine.parquet")
    again, report = read_custom([str(tmp_path / "mine.parquet")], LABELS)
    assert again["train"]["label"] == data["train"]["label"]
    assert again["train"]["writer"] == [str(writers.index(writer)) for writer in data["train"]["writer"]]
    assert "1 skipped" in report


def described(row: dict, kind: str) -> str:
    return json.dumps(row) if kind == "jsonl" else ",".join(map(str, row.values()))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_table_may_say_what_pictures_show(custom_folder, tmp_path, kind, packed):
    files, lines = sorted(custom_folder.rglob("*.png")), [] if kind == "jsonl" else ["file_name,label,writer"]
    for number, file in enumerate(files):
        part = "test" if number % 4 == 0 else "scans"
        (tmp_path / "mine" / part).mkdir(parents=True, exist_ok=True)
        shutil.move(file, tmp_path / "mine" / part / f"test_{number}.png")
        row = {"file_name": f"{part}/test_{number}.png", "label": int(file.parent.name), "writer": f"me{number % 2}"}
        lines.append(described(row, kind))
    lines.append(described({"file_name": "scans/gone.png", "label": 3, "writer": ""}, kind))
    (tmp_path / "mine" / f"metadata.{kind}").write_text("\n".join(lines))
    source = shutil.make_archive(tmp_path / "mine", "zip", tmp_path, "mine") if packed else str(tmp_path / "mine")
    data, report = read_custom([source], LABELS)
    assert (len(data["train"]), len(data["test"])) == (30, 10)
    assert set(data["train"]["writer"]) == {"me0", "me1"} and set(data["train"]["label"]) == set(LABELS)
    assert f"1 skipped unreadable: {'mine/' if packed else ''}scans/gone.png" in report


def test_labels_in_a_table_are_those_of_folders_in_any_encoding(custom_folder):
    (custom_folder / "metadata.csv").write_text("file_name,label\n3/ada_3.png,e\u0301\n")
    (custom_folder / "3" / "ada_3.png").write_bytes(next(custom_folder.glob("3/*.png")).read_bytes())
    data, _ = read_custom([str(custom_folder)])
    assert data["train"]["label"] == ["\u00e9"]


@pytest.mark.parametrize("text", ['{"file_name": "a.png"}', "{file_name", '{"label": 3}', "3"])
def test_a_table_that_says_too_little_is_refused(custom_folder, text):
    (custom_folder / "metadata.jsonl").write_text(text)
    with pytest.raises(DataError, match="metadata.jsonl"):
        read_custom([str(custom_folder)], LABELS)


@pytest.mark.parametrize("folder, split", [("test", "test"), ("Test", "test"), ("validation", "validation")])
def test_what_lies_below_a_folder_of_a_splits_name_is_held_out_for_it(custom_folder, tmp_path, folder, split):
    for part, labels in {"train": LABELS[:5], folder: LABELS[5:]}.items():
        for label in labels:
            shutil.move(custom_folder / label, tmp_path / "mine" / part / label)
    data, _ = read_custom([str(tmp_path / "mine")], LABELS)
    assert set(data["train"]["label"]) == set(LABELS[:5]) and set(data[split]["label"]) == set(LABELS[5:])


def test_labels_in_any_script_survive_a_zip_that_does_not_say_it_is_utf_8(custom_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile.ZipInfo, "_encodeFilenameFlags", lambda self: (self.filename.encode(), self.flag_bits))
    bangla = dict(zip(LABELS, "০১২৩৪৫৬৭৮৯"))
    for label, folder in bangla.items():
        (custom_folder / label).rename(custom_folder / folder)
    zip_of(custom_folder, tmp_path / "mine.zip")
    data, _ = read_custom([str(tmp_path / "mine.zip")])
    assert set(data["train"]["label"]) == set(bangla.values())


def test_a_dataset_of_paths_is_read_from_their_files(custom_folder, tmp_path):
    files = sorted(custom_folder.rglob("*.png"))
    rows = {"image": [{"bytes": None, "path": str(file)} for file in files], "label": [f.parent.name for f in files]}
    pyarrow.parquet.write_table(pyarrow.table(rows), tmp_path / "paths.parquet")
    data, report = read_custom([str(tmp_path / "paths.parquet")], LABELS)
    assert "40 pictures read" in report and set(data["train"]["writer"]) == {"ada", "bo", "cy", "di"}


def test_what_cannot_be_used_is_reported_and_skipped(custom_folder, mnist):
    (custom_folder / "0" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nand then nothing")
    (custom_folder / "0" / "zero.png").write_bytes(b"")
    (custom_folder / "1" / "notes.txt").write_text("no picture")
    PILImage.linear_gradient("L").resize((3, 40)).save(custom_folder / "1" / "thin.png")
    (custom_folder / "1" / ".DS_Store").write_text("left by a file manager")
    (custom_folder / "letters").mkdir()
    scan(mnist["train"][50]["image"]).save(custom_folder / "letters" / "a.png")
    mnist["test"][3]["image"].save(custom_folder / "0" / "leak.png")
    blank = scan(mnist["train"][50]["image"]).point(lambda _: 255)
    blank.save(custom_folder / "2" / "blank.png")
    twin = next((custom_folder / "3").iterdir())
    shutil.copy(twin, custom_folder / "3" / "zz_twin.png")
    data, report = read_custom([str(custom_folder)], LABELS, mnist)
    assert len(data["train"]) == 40
    assert "40 pictures read" in report
    assert "1 skipped unreadable: 0/broken.png" in report
    assert "1 skipped too small: 1/thin.png" in report
    assert "2 skipped empty: 0/zero.png, 2/blank.png" in report
    assert "1 skipped that are no pictures: 1/notes.txt" in report
    assert "1 skipped whose label is none of 0, 1, 2" in report and "letters/a.png" in report
    assert "1 skipped that equal an MNIST test picture: 0/leak.png" in report
    assert "1 skipped that are in the custom pictures twice: 3/zz_twin.png" in report
    assert ".DS_Store" not in report


def test_a_picture_outside_any_label_folder_is_reported(custom_folder, mnist):
    scan(mnist["train"][50]["image"]).save(custom_folder / "loose.png")
    _, report = read_custom([str(custom_folder / "..")], LABELS)
    assert "whose label is none of" in report and "custom/loose.png" in report
    _, report = read_custom([str(custom_folder)], LABELS)
    assert "1 skipped without a label: loose.png" in report


def test_the_same_pixels_in_another_encoding_are_a_duplicate(custom_folder, mnist):
    mnist["test"][3]["image"].convert("RGB").save(custom_folder / "0" / "leak.bmp")
    _, report = read_custom([str(custom_folder)], LABELS, mnist)
    assert "1 skipped that equal an MNIST test picture: 0/leak.bmp" in report


def test_drawings_that_differ_only_in_their_transparency_are_no_duplicates(tmp_path, digits):
    for number, digit in enumerate(digits[:3]):
        drawing = PILImage.new("RGBA", digit.size)
        drawing.putalpha(digit)
        (tmp_path / str(number)).mkdir()
        drawing.save(tmp_path / str(number) / "drawing.png")
    data, _ = read_custom([str(tmp_path)], LABELS)
    assert len(data["train"]) == 3


def test_a_picture_in_two_sources_is_kept_once(custom_folder, tmp_path):
    archive = zip_of(custom_folder, tmp_path / "more.zip")
    scan(PILImage.new("L", (28, 28), 90)).save(custom_folder / "0" / "new.png")
    data, report = read_custom([str(archive), str(custom_folder)], LABELS)
    assert len(data["train"]) == 41
    assert "40 skipped that are in the custom pictures twice" in report


def test_an_unchanged_source_comes_from_the_cache_and_a_changed_one_does_not(custom_folder):
    first, report = read_custom([str(custom_folder)], LABELS)
    again, report_again = read_custom([str(custom_folder)], LABELS)
    assert again["train"].cache_files == first["train"].cache_files and report_again == report
    next((custom_folder / "3").iterdir()).unlink()
    changed, _ = read_custom([str(custom_folder)], LABELS)
    assert len(changed["train"]) == 39


def test_labels_are_taken_as_they_come_where_none_are_given(custom_folder):
    (custom_folder / "7").rename(custom_folder / "seven")
    data, _ = read_custom([str(custom_folder)])
    assert "seven" in data["train"]["label"]


@pytest.mark.parametrize("name", ["../evil.png", "/evil.png", "3/../../evil.png", "..\\evil.png", "C:\\evil.png"])
def test_a_zip_that_points_outside_itself_is_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("3/good.png", b"")
        archive.writestr(name, b"")
    with pytest.raises(DataError, match="is refused"):
        read_custom([str(tmp_path / "evil.zip")], LABELS)


def test_a_zip_with_backslashes_keeps_its_labels(custom_folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "windows.zip", "w") as archive:
        for file in custom_folder.rglob("*.png"):
            archive.writestr(f"{file.parent.name}\\{file.name}", file.read_bytes())
    data, _ = read_custom([str(tmp_path / "windows.zip")], LABELS)
    assert len(data["train"]) == 40 and set(data["train"]["writer"]) == {"ada", "bo", "cy", "di"}


def test_a_missing_source_is_named():
    with pytest.raises(DataError, match="There is no custom data at ./nowhere"):
        read_custom(["./nowhere"], LABELS)


def test_a_hub_dataset_that_cannot_be_reached_is_one_sentence():
    with pytest.raises(DataError, match="me/digits cannot be loaded") as error:
        read_custom(["me/digits"], LABELS)
    assert "\n" not in str(error.value)


def test_a_damaged_zip_is_one_sentence(tmp_path):
    (tmp_path / "broken.zip").write_bytes(b"PK no more")
    with pytest.raises(DataError, match="neither a folder nor a ZIP or parquet file"):
        read_custom([str(tmp_path / "broken.zip")], LABELS)


def test_a_source_with_nothing_readable_is_an_error_and_leaves_no_cache(tmp_path):
    (tmp_path / "3").mkdir()
    (tmp_path / "3" / "broken.png").write_bytes(b"nothing")
    for _ in range(2):
        with pytest.raises(DataError, match="holds no picture with a label"):
            read_custom([str(tmp_path)], LABELS)


def test_a_parquet_file_without_pictures_is_one_sentence(tmp_path):
    Dataset.from_dict({"text": ["a"]}).to_parquet(tmp_path / "text.parquet")
    with pytest.raises(DataError, match="needs a column 'image'"):
        read_custom([str(tmp_path / "text.parquet")], LABELS)


def test_only_pictures_that_are_bright_on_dark_are_frames(digits, inverted):
    pictures = [digits[3], inverted[4], digits[5].resize((40, 40))]
    features = Features({"image": Image(), "label": ClassLabel(names=LABELS)})
    rows = Dataset.from_dict({"image": pictures, "label": [3, 4, 5]}, features=features)
    frames, labels = frames_of(rows)
    assert labels == ["3"] and PILImage.fromarray(frames[0, 0].numpy()).tobytes() == digits[3].tobytes()
    with pytest.raises(DataError, match="bright on dark"):
        frames_of(rows.select([1, 2]))
