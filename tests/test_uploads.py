"""What strangers bring is read in bounded memory, and never unpacked to the disk."""

import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest
from conftest import scan
from PIL import Image

from digit_model import UnreadableImageError
from digit_model.image_processing_digit import open_image
from digit_model.uploads import MAX_MEMBER_BYTES, MAX_PICTURES, brought_pictures


def png(image) -> bytes:
    content = io.BytesIO()
    image.save(content, "PNG")
    return content.getvalue()


@pytest.fixture
def archive(tmp_path):
    def write(members: dict[str, bytes], name: str = "scans.zip") -> str:
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as file:
            for member, content in members.items():
                file.writestr(member, content)
        return str(tmp_path / name)

    return write


def sentences(pictures) -> list[str]:
    return [str(picture) for _, picture in pictures if isinstance(picture, UnreadableImageError)]


def test_files_and_members_come_in_order_by_their_names(archive, digits, tmp_path):
    scan(digits[1]).save(tmp_path / "one.png")
    scans = archive(
        {
            "a/2.png": png(scan(digits[2])),
            "b\\3.png": png(scan(digits[3])),
            "__MACOSX/._2.png": b"",
            ".trash/4.png": b"",
        }
    )
    brought = list(brought_pictures([str(tmp_path / "one.png"), scans]))
    assert [name for name, _ in brought] == ["one.png", "scans.zip/a/2.png", "scans.zip/b/3.png"]
    assert [name for name, _ in brought_pictures([scans])] == ["a/2.png", "b/3.png"]
    assert brought[1][1].getvalue() == png(scan(digits[2]))


def test_every_page_of_a_scan_is_a_picture_loose_or_in_an_archive(archive, digits, tmp_path):
    pages = [scan(digits[digit]) for digit in (4, 7)] + [Image.new("1", (20_000, 20_000))]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:], compression="tiff_deflate")
    for path in (str(tmp_path / "scan.tif"), archive({"scan.tif": (tmp_path / "scan.tif").read_bytes()})):
        brought = list(brought_pictures([path]))
        assert [name for name, _ in brought] == [f"scan.tif#page={page}" for page in (1, 2, 3)]
        for page, (_, picture) in zip(pages[:2], brought):
            assert open_image(picture).tobytes() == page.tobytes()
        with pytest.raises(UnreadableImageError, match="20000 x 20000 pixels"):
            open_image(brought[2][1])


def test_every_page_of_a_pdf_is_a_picture_loose_or_in_an_archive(archive, digits, tmp_path):
    pages = [scan(digits[digit]) for digit in (4, 7)]
    pages[0].save(tmp_path / "scan.pdf", save_all=True, append_images=pages[1:], resolution=200)
    for path in (str(tmp_path / "scan.pdf"), archive({"scan.pdf": (tmp_path / "scan.pdf").read_bytes()})):
        brought = list(brought_pictures([path]))
        assert [name for name, _ in brought] == ["scan.pdf#page=1", "scan.pdf#page=2"]
        for page, (_, picture) in zip(pages, brought):
            drawn = open_image(picture).convert("L").resize(page.size)
            assert np.abs(np.asarray(drawn, float) - np.asarray(page)).mean() < 5


def test_a_page_of_a_pdf_that_is_damaged_leaves_the_others(archive, digits, tmp_path):
    pages = [scan(digits[digit]) for digit in (4, 7)]
    pages[0].save(tmp_path / "scan.pdf", save_all=True, append_images=pages[1:])
    before, _, after = (tmp_path / "scan.pdf").read_bytes().rpartition(b"/Page\n")
    (_, first), second = brought_pictures([archive({"scan.pdf": before + b"/Pige\n" + after})])
    assert open_image(first).width > 96
    assert second[0] == "scan.pdf#page=2" and sentences([second])[0].startswith("Page 2 of scan.pdf cannot be read (")


def test_names_that_point_elsewhere_write_nothing_there(archive, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    path = archive({"../../outside.png": b"x", "/etc/outside.png": b"x", "C:\\outside.png": b"x"})
    assert [name for name, _ in brought_pictures([path])] == ["../../outside.png", "/etc/outside.png", "C:/outside.png"]
    assert sorted(tmp_path.rglob("*")) == sorted([*before, tmp_path / "scans.zip"])


def test_bombs_are_refused_before_they_are_unpacked(archive):
    one = archive({"bomb.png": bytes(MAX_MEMBER_BYTES + 1)})
    assert sentences(brought_pictures([one])) == ["bomb.png has more than 20 MB."]
    many = archive({f"{number}.png": bytes(MAX_MEMBER_BYTES) for number in range(26)}, "many.zip")
    assert sentences(brought_pictures([many])) == ["many.zip unpacks to more than 500 MB."]


def test_an_archive_that_is_wrong_about_its_sizes_is_unpacked_no_further(archive, tmp_path):
    path, size = archive({"bomb.png": bytes(10 * MAX_MEMBER_BYTES)}), struct.pack("<I", 10 * MAX_MEMBER_BYTES)
    content = (tmp_path / "scans.zip").read_bytes()
    assert content.count(size) == 2
    (tmp_path / "scans.zip").write_bytes(content.replace(size, struct.pack("<I", 100)))
    tracemalloc.start()
    assert "bomb.png cannot be unpacked" in sentences(brought_pictures([path]))[0]
    assert tracemalloc.get_traced_memory()[1] < 3 * MAX_MEMBER_BYTES
    tracemalloc.stop()
    with zipfile.ZipFile(tmp_path / "scans.zip", "w", zipfile.ZIP_BZIP2) as file:
        file.writestr("bomb.png", bytes(1000))
    assert sentences(brought_pictures([path])) == ["bomb.png is packed as few programs do it; pack the archive anew."]


def test_ten_thousand_files_end_with_a_sentence(archive):
    path = archive({f"{number}.png": b"" for number in range(10_000)})
    brought = list(brought_pictures([path]))
    assert len(brought) == MAX_PICTURES + 1 and sentences(brought) == [
        "1,000 pictures were read; bring the others another time."
    ]


def test_a_damaged_archive_and_an_empty_one_say_so(archive, tmp_path):
    path = archive({"1.png": b"content of some length, so that it can be damaged" * 20})
    content = bytearray((tmp_path / "scans.zip").read_bytes())
    content[40:60] = bytes(20)
    (tmp_path / "scans.zip").write_bytes(content)
    assert "1.png cannot be unpacked" in sentences(brought_pictures([path]))[0]
    assert sentences(brought_pictures([archive({}, "empty.zip")])) == ["empty.zip holds no pictures."]
    (tmp_path / "cut.zip").write_bytes(content[:100])
    assert sentences(brought_pictures([str(tmp_path / "cut.zip")])) == [
        "cut.zip cannot be unpacked (File is not a zip file)."
    ]


def test_a_damaged_member_leaves_the_others(archive, digits, tmp_path):
    path = archive({f"{number}.png": png(scan(digits[number])) for number in range(3)})
    content = bytearray((tmp_path / "scans.zip").read_bytes())
    damaged = content.index(b"1.png") + 40
    content[damaged : damaged + 20] = bytes(20)
    (tmp_path / "scans.zip").write_bytes(content)
    brought = list(brought_pictures([path]))
    assert [name for name, _ in brought] == ["0.png", "1.png", "2.png"]
    assert ["cannot be unpacked" in each for each in sentences(brought)] == [True]
