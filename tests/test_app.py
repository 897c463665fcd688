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
from conftest import ROOT, scan

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(
    CHROMIUM is None and "CI" not in os.environ, reason="needs a browser: install chromium to run this test"
)

# strokes in shares of the canvas, as a finger draws them
STROKES = {
    0: [[(0.5, 0.2), (0.35, 0.32), (0.32, 0.5), (0.36, 0.7), (0.5, 0.8), (0.64, 0.7), (0.68, 0.5), (0.64, 0.32), (0.5, 0.2)]],
    1: [[(0.5, 0.2), (0.5, 0.8)]],
    2: [[(0.35, 0.33), (0.42, 0.22), (0.56, 0.2), (0.66, 0.32), (0.6, 0.48), (0.36, 0.79), (0.7, 0.79)]],
    3: [[(0.36, 0.26), (0.5, 0.2), (0.63, 0.3), (0.59, 0.43), (0.47, 0.48), (0.62, 0.55), (0.66, 0.68), (0.54, 0.8), (0.35, 0.74)]],
    4: [[(0.44, 0.2), (0.33, 0.53), (0.68, 0.53)], [(0.6, 0.24), (0.58, 0.82)]],
    5: [[(0.65, 0.21), (0.41, 0.21), (0.38, 0.46), (0.54, 0.42), (0.66, 0.54), (0.63, 0.71), (0.5, 0.8), (0.35, 0.74)]],
    6: [[(0.58, 0.2), (0.42, 0.38), (0.36, 0.6), (0.43, 0.78), (0.58, 0.78), (0.64, 0.64), (0.55, 0.53), (0.4, 0.6)]],
    7: [[(0.34, 0.22), (0.67, 0.22), (0.46, 0.8)]],
    8: [[(0.62, 0.28), (0.5, 0.2), (0.39, 0.3), (0.45, 0.43), (0.6, 0.56), (0.63, 0.7), (0.5, 0.8), (0.37, 0.7), (0.42, 0.55), (0.58, 0.42), (0.62, 0.28)]],
    9: [[(0.63, 0.35), (0.52, 0.22), (0.39, 0.32), (0.42, 0.47), (0.56, 0.47), (0.63, 0.35), (0.62, 0.55), (0.57, 0.8)]],
}  # fmt: skip


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
    page.locator("canvas").first.wait_for(timeout=30_000)
    yield page
    assert errors == []
    context.close()


def draw(page, digit: int) -> None:
    # the sheet lies in the middle of the canvas element, which is as wide as the column
    box = page.locator("canvas").first.bounding_box()
    side = min(box["width"], box["height"]) * 0.6
    left, top = box["x"] + (box["width"] - side) / 2, box["y"] + (box["height"] - side) / 2
    for stroke in STROKES[digit]:
        points = [(left + side * x, top + side * y) for x, y in stroke]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point, steps=8)
        page.mouse.up()


def answer(page):
    return page.get_by_test_id("label-output-value").first


def wait_for_answer(page, text: str, timeout: float = 30_000) -> None:
    from playwright.sync_api import expect

    expect(answer(page)).to_have_text(text, timeout=timeout)


def test_a_blank_canvas_asks_for_a_digit(page):
    wait_for_answer(page, "Draw a digit · একটি অঙ্ক আঁকুন")


@pytest.mark.parametrize("digit", STROKES)
def test_a_drawn_digit_is_read(page, digit):
    draw(page, digit)
    wait_for_answer(page, str(digit))


def test_clearing_takes_the_answer_away_and_the_next_digit_can_be_drawn(page):
    draw(page, 3)
    wait_for_answer(page, "3")
    page.get_by_role("button", name="Clear", exact=True).first.click()
    wait_for_answer(page, "Draw a digit · একটি অঙ্ক আঁকুন")
    draw(page, 7)
    wait_for_answer(page, "7")


def test_an_uploaded_picture_is_read(page, digits, tmp_path: Path):
    scan(digits[5], side=300).save(tmp_path / "five.png")
    page.get_by_role("tab", name="Upload").click()
    page.locator("input[type=file]").first.set_input_files(tmp_path / "five.png")
    page.get_by_test_id("label-output-value").filter(has_text="5").wait_for(timeout=30_000)


def test_the_page_speaks_bangla_where_the_browser_does(browser, address):
    context = browser.new_context(locale="bn-BD")
    page = context.new_page()
    page.goto(address)
    page.get_by_role("heading", name="হাতে লেখা অঙ্ক").wait_for(timeout=30_000)
    page.get_by_role("tab", name="আঁকুন").wait_for()
    context.close()
