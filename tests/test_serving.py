"""The app as a service, without a browser: its endpoints, what it gives away, and uploads that mean harm."""

import io
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import httpx
import pytest
from conftest import ROOT, page_of, running_app, scan
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from PIL import Image, ImageDraw

from app import Desk, build_app
from data_prep import Corrections
from digit_model import load_checkpoint
from digit_model.answers import Answers

MEMORY_LIMIT = 1500  # MB above what the app takes at rest


def png_of(width: int, height: int) -> bytes:
    """A PNG that says it has so many pixels, all of one tone, in a few kilobytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = zlib.compressobj(9)
    line = bytes(width // 8 + 2)
    content = b"".join(rows.compress(line) for _ in range(min(height, 20_000))) + rows.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", content) + chunk(b"IEND", b"")


def zip_of(members: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in members.items():
            archive.writestr(name, member)
    return content.getvalue()


def saved(image: Image.Image, kind: str, **options) -> bytes:
    content = io.BytesIO()
    image.save(content, kind, **options)
    return content.getvalue()


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    """The running app: its address, its process, and the one folder that it may write to."""
    own = tmp_path_factory.mktemp("own")
    with running_app(TMPDIR=str(own), CORRECTIONS_FOLDER=str(own / "corrections")) as (url, process):
        yield url, process, own


def memory_of(process: subprocess.Popen) -> float:
    """The most that the process has had, in MB."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def files_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if not {"__pycache__", ".git", ".venv"} & set(path.parts)}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process from /proc")
def test_twenty_hostile_uploads_leave_the_app_serving(app, digits, tmp_path):
    url, process, own = app
    picture, long = saved(scan(digits[4]), "PNG"), saved(page_of(digits, "42"), "JPEG")
    frames = [Image.new("P", (64, 64), tone) for tone in range(200)]
    hostile = {
        "empty.png": b"",
        "text.png": b"no picture",
        "page.png": b"<html><script>alert(1)</script></html>",
        "drawing.svg": b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
        "cut_off.jpg": long[: len(long) // 2],
        "bomb.png": png_of(60_000, 60_000),
        "ribbon.png": png_of(100_000, 1),
        "dot.png": saved(Image.new("L", (1, 1)), "PNG"),
        "frames.gif": saved(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "program.jpg": b"\x7fELF" + bytes(1000),
        "report.png": b"%PDF-1.7\n" + bytes(1000),
        "archive.png": zip_of({"4.png": picture}),
        "<img src=x onerror=alert(1)>.png": picture,
        "..%2F..%2Foutside.png": picture,
        "nested.zip": zip_of({"inner.zip": zip_of({"4.png": picture})}),
        "bomb.zip": zip_of({f"{number}.png": bytes(19 << 20) for number in range(30)}),
        "large.zip": zip_of({"large.png": bytes(60 << 20)}),
        "many.zip": zip_of({f"{number}.png": b"" for number in range(10_000)}),
        "outside.zip": zip_of({"../../outside.png": picture, "/tmp/outside.png": picture}),
        "damaged.zip": zip_of({"4.png": picture})[:-30],
    }
    assert len(hostile) == 20
    client = Client(url, verbose=False, download_files=str(tmp_path / "downloads"))
    before, rest = files_in(ROOT) | files_in(tmp_path.parent.parent) - files_in(own), memory_of(process)
    for name, content in hostile.items():
        path = tmp_path / "uploads" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        for endpoint, upload in (("/read_number", handle_file(str(path))), ("/read_batch", [handle_file(str(path))])):
            try:
                client.predict(upload, api_name=endpoint)
            except Exception as error:
                assert "Traceback" not in str(error), name
        assert process.poll() is None, name
    (tmp_path / "good.jpg").write_bytes(long)
    assert client.predict(handle_file(str(tmp_path / "good.jpg")), api_name="/read_number")["text"] == "42"
    assert memory_of(process) - rest < MEMORY_LIMIT
    assert not list(Path("/tmp").glob("outside.png")) and files_in(ROOT) <= before


def test_files_of_the_server_cannot_be_asked_for(app):
    url, _, _ = app
    stolen = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
    for endpoint, data in (("read_number", stolen), ("read_batch", [stolen])):
        event = httpx.post(f"{url}/gradio_api/call/{endpoint}", json={"data": [data]})
        answer = httpx.get(f"{url}/gradio_api/call/{endpoint}/{event.json()['event_id']}", timeout=30).text
        assert answer.startswith("event: error") and "root:" not in answer
    for file in ("/etc/passwd", ROOT / "app.py", ROOT / "corrections" / "1" / "a.png"):
        assert httpx.get(f"{url}/gradio_api/file={file}").status_code == 403


def test_a_number_and_a_batch_are_read_by_name(app, digits, tmp_path):
    page_of(digits, "42").save(tmp_path / "one.png")
    (tmp_path / "scans.zip").write_bytes(zip_of({"two.png": saved(page_of(digits, "467"), "PNG")}))
    client = Client(app[0], verbose=False, download_files=str(tmp_path / "downloads"))
    reading = client.predict(handle_file(str(tmp_path / "one.png")), api_name="/read_number")
    assert reading["text"] == "42" and len(reading["digits"]) == 2
    files = [handle_file(str(tmp_path / name)) for name in ("one.png", "scans.zip")]
    table, csv = client.predict(files, api_name="/read_batch")
    assert [row[:2] for row in table["data"]] == [["one.png", "42"], ["scans.zip/two.png", "467"]]
    assert Path(csv).read_text(encoding="utf-8-sig").splitlines()[0] == "file,text,score,error"


@pytest.mark.parametrize("content", [b"", b"a diary of mine"])
def test_a_file_that_is_no_picture_is_answered_with_a_sentence(app, tmp_path, content):
    (tmp_path / "one.png").write_bytes(content)
    client = Client(app[0], verbose=False)
    with pytest.raises(AppError, match="one.png is not a picture that can be read"):
        client.predict(handle_file(str(tmp_path / "one.png")), api_name="/read_number")


def test_only_the_named_endpoints_can_be_called_and_are_tools_of_an_mcp_server(app):
    endpoints = Client(app[0], verbose=False).view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert set(endpoints) == {"/read_number", "/read_batch"}
    tools = httpx.get(f"{app[0]}/gradio_api/mcp/schema").json()
    assert {tool["name"].removeprefix("app_") for tool in tools} == {"read_number", "read_batch"}
    assert all("handwritten number" in tool["description"] for tool in tools)


def test_what_a_visitor_brought_is_deleted(digits, tmp_path, monkeypatch):
    monkeypatch.setattr("app.SECONDS_KEPT", 3)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "cache"))
    answers = Answers(*load_checkpoint())
    blocks = build_app(Desk(answers, Corrections(tmp_path / "corrections", answers.labels)), [])
    _, url, _ = blocks.launch(prevent_thread_lock=True, quiet=True)
    try:
        page_of(digits, "42").save(tmp_path / "one.png")
        Client(url, verbose=False).predict(handle_file(str(tmp_path / "one.png")), api_name="/read_number")
        brought = list((tmp_path / "cache").rglob("one.png"))
        deadline = time.monotonic() + 20
        while brought[0].exists():
            assert time.monotonic() < deadline
            time.sleep(0.2)
    finally:
        blocks.close()


@pytest.fixture(scope="module")
def desk(tmp_path_factory) -> Desk:
    answers = Answers(*load_checkpoint())
    return Desk(answers, Corrections(tmp_path_factory.mktemp("kept"), answers.labels))


def test_only_an_answer_that_was_given_can_be_called_right(desk, digits, tmp_path):
    letter = Image.new("L", (200, 200), 255)
    draw = ImageDraw.Draw(letter)
    for stroke in [(60, 30, 60, 170), (60, 30, 140, 30), (60, 100, 130, 100), (60, 170, 140, 170)]:  # an E
        draw.line(stroke, fill=20, width=12)
    for name, picture, can_be_right in (("digit", scan(digits[4]), True), ("letter", letter, False)):
        picture.save(tmp_path / f"{name}.png")
        updates = desk.read_picture(str(tmp_path / f"{name}.png"), "English")
        (button,) = [update for update in updates if isinstance(update, gr.Button)]
        assert button.visible == can_be_right


def test_a_correction_with_one_unknown_label_keeps_no_character(desk, digits, tmp_path):
    page_of(digits, "42").save(tmp_path / "number.png")
    seen, visitor = str(tmp_path / "number.png"), SimpleNamespace(session_hash="somebody")
    answer = desk.answers(seen)
    assert "'x' is none of the labels" in desk.correct(seen, seen, answer, "4x", True, "English", visitor)
    assert not list(desk.corrections.folder.rglob("*.png"))
    assert desk.correct(seen, seen, answer, "42", True, "English", visitor) == "Thank you, kept as 42."
    assert len(list(desk.corrections.folder.rglob("*.png"))) == 2


def test_an_answer_to_what_is_no_longer_there_cannot_be_corrected(desk, digits, tmp_path):
    page_of(digits, "7").save(tmp_path / "seen.png")
    seen, visitor = str(tmp_path / "seen.png"), SimpleNamespace(session_hash="somebody")
    before = list(desk.corrections.folder.rglob("*.png"))
    drawn = {"composite": Image.new("RGBA", (20, 20))}
    for brought in ("other.png", drawn, None):
        said = desk.correct(brought, seen, desk.answers(seen), "3", True, "English", visitor)
        assert said == "The picture has changed: wait for its answer."
    assert list(desk.corrections.folder.rglob("*.png")) == before


@pytest.mark.slow
def test_a_hub_that_cannot_be_reached_is_warned_of_and_the_app_serves_all_the_same(tmp_path):
    log, kept = tmp_path / "log", tmp_path / "kept"
    settings = {"CORRECTIONS_REPO": "me/corrections", "CORRECTIONS_FOLDER": str(kept)}
    with log.open("w") as stderr, running_app(stderr=stderr, **settings) as (url, _):
        assert httpx.get(url).status_code == 200
    assert "warning: Corrections cannot be published to me/corrections" in log.read_text()
    assert str(kept) in log.read_text() and kept.is_dir()
