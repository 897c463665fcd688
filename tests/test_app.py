"""The app in a real browser. Without one these are skipped on a stranger's machine, and fail in CI."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from conftest import ROOT, page_of, scan

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None and "CI" not in os.environ, reason="needs a browser: install chromium to run this test"
)

# strokes as a finger draws them: points in hundredths of the sheet, "|" where the finger is lifted
STROKES = {
    0: "50,20 35,32 32,50 36,70 50,80 64,70 68,50 64,32 50,20",
    1: "50,20 50,80",
    2: "35,33 42,22 56,20 66,32 60,48 36,79 70,79",
    3: "36,26 50,20 63,30 59,43 47,48 62,55 66,68 54,80 35,74",
    4: "44,20 33,53 68,53 | 60,24 58,82",
    5: "65,21 41,21 38,46 54,42 66,54 63,71 50,80 35,74",
    6: "58,20 42,38 36,60 43,78 58,78 64,64 55,53 40,60",
    7: "34,22 67,22 46,80",
    8: "62,28 50,20 39,30 45,43 60,56 63,70 50,80 37,70 42,55 58,42 62,28",
    9: "63,35 52,22 39,32 42,47 56,47 63,35 62,55 57,80",
}


@pytest.fixture(scope="module")
def address() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=os.environ | {"GRADIO_SERVER_PORT": str(port)})
    url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 90
    while True:
        try:
            urllib.request.urlopen(url)
            break
        except OSError:
            assert app.poll() is None and time.monotonic() < deadline, "the app did not start"
            time.sleep(0.2)
    yield url
    app.terminate()
    app.wait()


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
        flags += ["--use-angle=swiftshader", "--enable-unsafe-swiftshader"]  # the canvas is WebGL, without a GPU
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, address):
    context = browser.new_context(viewport={"width": 1200, "height": 850})
    page, errors = context.new_page(), []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    page.get_by_role("button", name="Brush", exact=True).wait_for(timeout=30_000)
    page.wait_for_load_state("networkidle")
    yield page
    assert errors == []
    context.close()


def draw(page, digit: int) -> None:
    # the sheet lies in the middle of the canvas element, which is as wide as the column
    box = page.locator("canvas").first.bounding_box()
    side = min(box["width"], box["height"]) * 0.6
    left, top = box["x"] + (box["width"] - side) / 2, box["y"] + (box["height"] - side) / 2
    for stroke in STROKES[digit].split("|"):
        hundredths = [map(int, point.split(",")) for point in stroke.split()]
        points = [(left + side * x / 100, top + side * y / 100) for x, y in hundredths]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=8)
        page.mouse.up()


def answer(page):
    return page.get_by_test_id("label-output-value").first


def wait_for_answer(page, text: str) -> None:
    from playwright.sync_api import expect

    expect(answer(page)).to_have_text(text, timeout=30_000)


def test_a_blank_canvas_asks_for_a_digit(page):
    wait_for_answer(page, "Draw a digit · একটি অঙ্ক আঁকুন")


@pytest.mark.parametrize("digit", STROKES)
def test_a_drawn_digit_is_read(page, digit):
    draw(page, digit)
    wait_for_answer(page, str(digit))


def test_clearing_takes_the_answer_away_and_the_next_digit_can_be_drawn(page):
    draw(page, 3)
    wait_for_answer(page, "3")
    page.get_by_role("button", name="Clear · মুছুন").click()
    wait_for_answer(page, "Draw a digit · একটি অঙ্ক আঁকুন")
    draw(page, 7)
    wait_for_answer(page, "7")


def test_an_uploaded_picture_is_read(page, digits, tmp_path: Path):
    scan(digits[2], side=300).save(tmp_path / "two.png")
    page.get_by_role("tab", name="Upload").click()
    page.locator("input[type=file]").last.set_input_files(tmp_path / "two.png")
    page.get_by_test_id("label-output-value").filter(has_text="2").wait_for(timeout=30_000)


def test_an_uploaded_number_is_read_and_shown_with_boxes(page, digits, tmp_path: Path):
    page_of(digits, "4207").save(tmp_path / "number.png")
    page.get_by_role("tab", name="Upload").click()
    page.locator("input[type=file]").last.set_input_files(tmp_path / "number.png")
    page.get_by_test_id("label-output-value").get_by_text("4207", exact=True).wait_for(timeout=30_000)


def test_a_file_that_is_no_picture_is_answered_with_one_sentence_and_the_next_one_is_read(page, digits, tmp_path: Path):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    scan(digits[2], side=300).save(tmp_path / "two.png")
    page.get_by_role("tab", name="Upload").click()
    page.locator("input[type=file]").last.set_input_files(tmp_path / "broken.png")
    page.get_by_test_id("label-output-value").filter(has_text="save it as PNG or JPEG").wait_for(timeout=30_000)
    assert "Traceback" not in page.content()
    page.get_by_role("button", name="Remove Image").click()
    page.locator("input[type=file]").last.set_input_files(tmp_path / "two.png")
    page.get_by_test_id("label-output-value").get_by_text("2", exact=True).wait_for(timeout=30_000)
