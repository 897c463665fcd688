import base64
import io
import struct
import zlib

import numpy as np
import pytest
import torch
from conftest import python, scan
from PIL import Image, ImageOps

from digit_model import DigitImageProcessor, UnreadableImageError
from digit_model.image_processing_digit import MIN_SIDE, open_image

processor = DigitImageProcessor()


def page_of(image) -> np.ndarray:
    return processor(image, return_tensors="np")["pixel_values"][0, 0]


def test_a_batch_in_one_array_is_a_list_of_pictures(digits):
    pixels = np.stack([np.asarray(scan(digit)) for digit in digits])
    batch = processor(pixels[:, None], return_tensors="np")["pixel_values"]
    assert np.array_equal(batch, processor([scan(digit) for digit in digits], return_tensors="np")["pixel_values"])


def test_a_page_is_grey_square_and_in_range(digits):
    pages = processor([scan(digit, side=200) for digit in digits], return_tensors="pt")["pixel_values"]
    assert pages.shape == (10, 1, 128, 128) and pages.dtype == torch.float32
    assert pages.min() >= 0 and pages.max() <= 1


def test_the_aspect_is_kept_and_the_sides_take_the_papers_tone():
    image = Image.new("L", (400, 100), 200)
    image.paste(0, (190, 40, 210, 60))  # a square blot in the middle
    page = page_of(image)
    blot = np.argwhere(page < 0.4)
    assert abs(np.ptp(blot[:, 0]) - np.ptp(blot[:, 1])) <= 1
    assert page[0, 0] == pytest.approx(200 / 255, abs=0.01)


def test_an_mnist_frame_stays_as_it_is(digits):
    frames = processor(digits, return_tensors="np")["pixel_values"]
    assert frames.shape == (10, 1, 28, 28)
    assert np.array_equal((frames[3, 0] * 255).round().astype(np.uint8), np.asarray(digits[3]))


def test_a_28_pixel_picture_that_is_dark_on_white_is_a_page(inverted):
    assert page_of(inverted[0]).shape == (128, 128)


def test_a_28_pixel_picture_of_a_small_digit_is_a_page(digits):
    small = Image.new("L", (28, 28))
    small.paste(digits[4].crop(digits[4].getbbox()).resize((8, 12)), (3, 2))
    assert page_of(small).shape == (128, 128)


def test_frames_among_other_pictures_become_pages(digits):
    mixed = processor([digits[0], scan(digits[1])], return_tensors="np")["pixel_values"]
    assert mixed.shape == (2, 1, 128, 128)


def test_the_same_picture_from_a_file_an_array_and_a_tensor_is_the_same_page(digits, tmp_path):
    image = scan(digits[5])
    image.save(tmp_path / "five.png")
    pixels = np.asarray(image)
    others = [
        str(tmp_path / "five.png"),
        tmp_path / "five.png",
        pixels,
        pixels[None],
        pixels[..., None],
        np.stack([pixels] * 3, axis=-1),
        pixels.astype(np.float32) / 255,
        torch.from_numpy(pixels.copy()),
        torch.from_numpy(pixels.copy()).repeat(3, 1, 1),
    ]
    for other in others:
        assert np.array_equal(page_of(other), page_of(image))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "CMYK", "P", "1", "LA", "LAB", "I;16", "I", "F"])
def test_every_mode_shows_dark_ink_on_light_paper(digits, mode):
    image = scan(digits[5])
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image).astype(np.uint16) * 257)
    elif mode == "LA":
        image = image.convert("RGBA").convert("LA")
    else:
        image = image.convert(mode)
    assert image.mode == mode
    page, grey = page_of(image), page_of(scan(digits[5]))
    assert np.abs(page - grey).mean() < 0.05


def test_transparent_is_paper_under_dark_ink_and_slate_under_light_ink(digits):
    for tone in (0, 255):
        drawing = Image.new("RGBA", (28, 28), (tone, tone, tone, 0))
        drawing.putalpha(digits[3])
        page = page_of(drawing)
        assert abs(page[0, 0] - tone / 255) == pytest.approx(1)
        assert np.ptp(page) > 0.5


def test_a_photo_taken_sideways_is_turned_upright(digits):
    upright = scan(digits[7])
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 270 degrees to see it upright
    file = io.BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(file, "PNG", exif=exif)
    assert np.abs(page_of(Image.open(file)) - page_of(upright)).max() < 0.02


def test_a_photo_whose_exif_is_damaged_elsewhere_is_turned_all_the_same(digits, tmp_path):
    upright, exif = scan(digits[7]), Image.Exif()
    exif[0x0112], exif[0x011A] = 6, 72.0
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "photo.jpg", exif=exif)
    content = (tmp_path / "photo.jpg").read_bytes()
    for order in ("<", ">"):  # the resolution is a text now, as its type says
        content = content.replace(struct.pack(order + "HH", 0x011A, 5), struct.pack(order + "HH", 0x011A, 2))
    (tmp_path / "photo.jpg").write_bytes(content)
    with pytest.raises(TypeError):
        ImageOps.exif_transpose(Image.open(tmp_path / "photo.jpg"))
    assert np.abs(page_of(str(tmp_path / "photo.jpg")) - page_of(upright)).mean() < 0.02


def test_an_animation_shows_its_first_picture(digits):
    file = io.BytesIO()
    scan(digits[2]).save(file, "GIF", save_all=True, append_images=[scan(digits[8])])
    assert np.abs(page_of(Image.open(file)) - page_of(scan(digits[2]))).mean() < 0.02


def test_a_page_of_a_scan_is_named_after_its_file(tmp_path, digits):
    pages = [scan(digits[digit]) for digit in (2, 8)]
    pages[0].save(tmp_path / "scan.tif", save_all=True, append_images=pages[1:])
    for number, page in enumerate(pages, start=1):
        assert np.array_equal(page_of(f"{tmp_path}/scan.tif#page={number}"), page_of(page))
    assert np.array_equal(page_of(str(tmp_path / "scan.tif")), page_of(pages[0]))
    with pytest.raises(UnreadableImageError, match="scan.tif#page=3 cannot be read"):
        page_of(f"{tmp_path}/scan.tif#page=3")


def test_a_page_of_a_pdf_is_drawn_as_a_scanner_would_have_it(tmp_path, digits):
    pages = [scan(digits[digit]) for digit in (2, 8)]
    pages[0].save(tmp_path / "scan.pdf", save_all=True, append_images=pages[1:])
    for name, page in (("scan.pdf", pages[0]), ("scan.pdf#page=1", pages[0]), ("scan.pdf#page=2", pages[1])):
        assert np.abs(page_of(str(tmp_path / name)) - page_of(page)).mean() < 0.02
    assert np.abs(page_of(io.BytesIO((tmp_path / "scan.pdf").read_bytes())) - page_of(pages[0])).mean() < 0.02
    assert open_image(tmp_path / "scan.pdf").width == round(96 / 72 * 200)  # of 96 points, at 200 dots an inch
    with pytest.raises(UnreadableImageError, match="scan.pdf#page=3 cannot be read .it has 2 pages.;"):
        page_of(f"{tmp_path}/scan.pdf#page=3")


def test_a_page_of_a_pdf_as_large_as_a_house_is_drawn_coarsely(tmp_path):
    Image.new("1", (200, 100)).save(tmp_path / "wall.pdf", resolution=1)
    width, height = open_image(tmp_path / "wall.pdf").size
    assert width == pytest.approx(2 * height, abs=2) and width * height == pytest.approx(2**23, rel=0.01)


def test_a_pdf_that_is_cut_off_or_locked_says_so(tmp_path):
    Image.new("L", (96, 96)).save(tmp_path / "scan.pdf")
    content = (tmp_path / "scan.pdf").read_bytes()
    (tmp_path / "cut.pdf").write_bytes(content[:40])
    key = b"/Encrypt <</Filter/Standard/V 1/R 2/O(%b)/U(%b)/P -4>> /ID[<00><00>] /Root" % (b"o" * 32, b"u" * 32)
    (tmp_path / "locked.pdf").write_bytes(content.replace(b"/Root", key))
    for name, reason in (("cut.pdf", "Data format error"), ("locked.pdf", "Incorrect password")):
        with pytest.raises(UnreadableImageError, match=f"{name} cannot be read .*{reason}"):
            open_image(tmp_path / name)


def test_a_processor_survives_saving(tmp_path, digits):
    DigitImageProcessor(size={"height": 64, "width": 64}).save_pretrained(tmp_path)
    loaded = DigitImageProcessor.from_pretrained(tmp_path)
    assert loaded(scan(digits[0]), return_tensors="np")["pixel_values"].shape == (1, 1, 64, 64)


def png(width: int, height: int) -> bytes:
    """A file of a few bytes that says it has so many pixels."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(100_001))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "broken.png is not a picture that can be read; save it as PNG or JPEG."),
        (b"no picture", "broken.png is not a picture that can be read; save it as PNG or JPEG."),
        (b"\x89PNG\r\n\x1a\nand then nothing", "broken.png cannot be read"),
        (png(1, 1), "broken.png has 1 x 1 pixels, too few to read anything; bring a larger one."),
        (png(100_000, 1), "broken.png has 100000 x 1 pixels, too few to read anything"),
        (png(12_000, 12_000), "broken.png has 12000 x 12000 pixels, more than 100,000,000 in all; save it smaller."),
        (png(20_000, 20_000), "broken.png has more than 100,000,000 pixels; save it smaller."),
    ],
    ids=["empty", "text", "damaged", "one pixel", "a line", "large", "bomb"],
)
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path, content, sentence):
    (tmp_path / "broken.png").write_bytes(content)
    with pytest.raises(UnreadableImageError) as error:
        processor(str(tmp_path / "broken.png"))
    assert sentence in str(error.value) and "\n" not in str(error.value)


MEMORY = """
import resource, sys
from digit_model import DigitImageProcessor, UnreadableImageError
read = DigitImageProcessor()
for path in sys.argv[1:]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        read(path)
    except UnreadableImageError as error:
        print("refused:", error)
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, "MB")
"""


def test_no_picture_takes_more_memory_than_its_own_pixels(tmp_path, digits):
    scan(digits[0]).save(tmp_path / "small.png")
    Image.new("RGB", (9000, 6000), "white").save(tmp_path / "54_megapixels.jpg")
    (tmp_path / "bomb.png").write_bytes(png(20_000, 20_000))
    Image.new("L", (100_000, 4)).save(tmp_path / "line.png")
    done = python(
        "-c", MEMORY, *(tmp_path / f"{name}" for name in ("small.png", "54_megapixels.jpg", "bomb.png", "line.png"))
    )
    assert done.returncode == 0, done.stderr
    used = [int(line.split()[0]) for line in done.stdout.splitlines() if line.endswith("MB")]
    assert len(used) == 4 and max(used) < 60 and done.stdout.count("refused") == 1


def test_a_large_jpeg_is_decoded_small(tmp_path):
    Image.new("RGB", (4000, 3000)).save(tmp_path / "phone.jpg")
    assert open_image(tmp_path / "phone.jpg").size == (4000, 3000)
    assert open_image(tmp_path / "phone.jpg", draft_side=400).size == (500, 375)


def test_a_thin_jpeg_is_decoded_as_thick_as_a_picture_must_be(tmp_path):
    for size in ((4000, 20), (1200, 3)):
        Image.new("RGB", size).save(tmp_path / f"{size[1]}.jpg")
    assert min(open_image(tmp_path / "20.jpg", draft_side=400).size) >= MIN_SIDE
    with pytest.raises(UnreadableImageError, match="1200 x 3 pixels, too few"):
        open_image(tmp_path / "3.jpg", draft_side=400)


def test_an_address_that_does_not_answer_is_one_sentence():
    with pytest.raises(UnreadableImageError, match="http://127.0.0.1:9/no.png cannot be fetched") as error:
        processor("http://127.0.0.1:9/no.png")
    assert "\n" not in str(error.value)


def test_a_data_uri_and_the_bytes_of_a_file_are_pictures_too(digits):
    file = io.BytesIO()
    scan(digits[5]).save(file, "PNG")
    uri = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    for source in (uri, file, file.getvalue()):
        assert np.array_equal(page_of(source), page_of(scan(digits[5])))


def test_an_open_file_is_a_picture_too(digits, tmp_path):
    scan(digits[5]).save(tmp_path / "five.png")
    with (tmp_path / "five.png").open("rb") as file:
        assert np.array_equal(page_of(file), page_of(scan(digits[5])))


@pytest.mark.parametrize("source", [5, [None], [[0, 1], [1, 0]]])
def test_what_is_no_picture_at_all_is_one_sentence(source):
    with pytest.raises(UnreadableImageError, match="is no picture; pass a path"):
        processor(source)


@pytest.mark.parametrize("size", [(64, 96), (96, 64)])
@pytest.mark.parametrize("turn", range(1, 9))
def test_a_raw_tiff_that_lies_on_its_side_is_as_it_is_in_memory(size, turn, tmp_path):
    pixels = np.random.default_rng(turn).integers(256, size=size, dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "scan.tif", compression="raw", tiffinfo={274: turn})
    content = io.BytesIO((tmp_path / "scan.tif").read_bytes())
    assert np.array_equal(np.asarray(open_image(tmp_path / "scan.tif")), np.asarray(open_image(content)))


def test_a_resize_that_overshoots_and_integers_of_any_range_change_nothing(digits):
    pixels = np.asarray(scan(digits[5])) / np.float32(255)
    page = page_of(pixels)
    for same in (pixels * 1.1, (pixels * 2**20).astype(np.int32), (pixels * 60_000).astype(np.int32), pixels * 280):
        assert np.abs(page_of(same) / page_of(same).max() - page / page.max()).max() < 0.12


def test_tensors_of_a_network_are_pictures_too(digits):
    pixels = torch.from_numpy(np.asarray(scan(digits[5])) / np.float32(255))
    for same in (pixels.bfloat16(), pixels.half(), pixels.clone().requires_grad_()):
        assert np.abs(page_of(same) - page_of(pixels.numpy())).max() < 0.02
    with pytest.raises(UnreadableImageError, match="The picture cannot be read"):
        processor([np.array([["a"] * 9] * 9)])


def test_a_picture_that_opens_and_cannot_be_used_is_one_sentence(digits):
    damaged = scan(digits[5]).convert("P")
    damaged.palette = None
    with pytest.raises(UnreadableImageError, match="The picture cannot be read"):
        processor(damaged)


def test_a_folder_is_named_as_one(tmp_path):
    with pytest.raises(UnreadableImageError, match="is a folder; name a picture in it"):
        processor(str(tmp_path))


def test_a_truncated_picture_is_one_sentence(tmp_path, digits):
    file = io.BytesIO()
    scan(digits[0]).save(file, "PNG")
    (tmp_path / "half.png").write_bytes(file.getvalue()[:300])
    with pytest.raises(UnreadableImageError, match="half.png cannot be read"):
        processor(str(tmp_path / "half.png"))
    with pytest.raises(UnreadableImageError, match="The picture cannot be read"):
        processor(Image.open(tmp_path / "half.png"))


def test_a_missing_file_is_named():
    with pytest.raises(UnreadableImageError, match="nowhere.png does not exist"):
        processor("nowhere.png")


@pytest.mark.parametrize("shape", [(0, 5), (5,), (7, 7, 7), (2, 7, 7, 7)])
def test_an_array_that_is_no_picture_is_one_sentence(shape):
    with pytest.raises(UnreadableImageError, match="is no picture"):
        processor([np.zeros(shape, dtype=np.uint8)])
