"""
The Space: draw a number, bring a picture or many, see what the model reads and why, and correct it.

    python app.py                                                 # on the checkpoint that ships in the repository
    DIGIT_MODEL=me/digit-cnn DIGIT_REVISION=v1.0 python app.py    # on another one: a folder or an id on the Hub
    CORRECTIONS_REPO=me/corrections python app.py                 # corrections go to a dataset on the Hub, by HF_TOKEN
"""

import hashlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import gradio as gr
import pandas as pd
from datasets import load_dataset
from gradio.components.image_editor import EditorValue
from PIL import Image

from data_prep import Corrections, DataError, make_numbers
from data_prep.pictures import frames_of
from digit_model import PRETRAINED, CheckpointError, UnreadableImageError, file_of, load_checkpoint
from digit_model.answers import Answer, Answers
from digit_model.explanation import Explainer, draw_strokes
from digit_model.failures import CONFUSION_FILE, MISTAKES_FILE
from digit_model.model_card import tables_of
from digit_model.reader import COLUMNS, NumberReader
from digit_model.uploads import brought_pictures, count_pictures

ROOT = Path(__file__).parent
CANVAS_SIDE = 320
EXAMPLES = 6
QUEUE = {"default_concurrency_limit": 2, "max_size": 256}  # a picture takes both CPUs of a Space for some 50 ms
MAX_FILE_SIZE = "100mb"  # a phone photo has ten; the rest is for archives
SECONDS_KEPT = 1800  # what a visitor brought, of which nothing but an agreed correction stays
CSS = """
.head { align-items: center; flex-wrap: nowrap; }
.head h1 { font-size: 1.2rem; line-height: 1.2; margin: 0; word-break: normal; overflow-wrap: normal; }
.head .wrap { flex-wrap: nowrap; justify-content: flex-end; }
.head label { padding: 0.25rem 0.5rem; }
@media (max-width: 380px) { .head h1 { font-size: 0.9rem; } }
.pictures .grid-container { grid-template-columns: repeat(auto-fill, minmax(76px, 1fr)) !important; }
.pictures .fixed-height { min-height: 0 !important; }
.pictures .grid-wrap { padding-top: 2rem; }
.sheet .top-panel > button:last-child, .sheet .toolbar-wrap .right > button:not(:last-child) { display: none; }
.sheet .toolbar-wrap { left: 0 !important; }
.figures table { display: block; overflow-x: auto; border: none; font-size: 0.85rem; }
.figures td { white-space: nowrap; }
.figures th { overflow-wrap: normal; word-break: normal; }
.figures :is(td, th) { padding: 0.4rem 0.5rem !important; }
.answer h1 { font-size: 3rem; line-height: 1.1; margin: 0; overflow-wrap: anywhere; }
"""
# a screen reader says an answer when it comes; Gradio has no property for that
ANNOUNCED = """
() => {
    const announce = () => document.querySelectorAll(".answer:not([aria-live])").forEach(
        answer => answer.setAttribute("aria-live", "polite")
    );
    new MutationObserver(announce).observe(document.body, {childList: true, subtree: true});
}
"""
IN_THEIR_LANGUAGE = (
    "language => { document.documentElement.lang = language === 'English' ? 'en' : 'bn'; return language; }"
)
# an empty Sketchpad waits for its visitor to pick the brush, and swallows the first stroke; one with a layer does not.
# Its own bin, the last button of its top panel, would empty it. Its one colour needs no button.
BLANK_SHEET = {"background": None, "layers": [Image.new("RGBA", (CANVAS_SIDE, CANVAS_SIDE))], "composite": None}

# gr.I18n serves only the languages that Gradio itself is translated to, and Bangla is none of them
LANGUAGES = {"English": 0, "বাংলা": 1}
TEXTS = {
    "title": ("# Handwritten digits", "# হাতে লেখা অঙ্ক"),
    "draw": ("Draw", "আঁকুন"),
    "upload": ("Upload", "ছবি দিন"),
    "batch": ("Batch", "অনেক ছবি"),
    "about": ("About", "পরিচিতি"),
    "canvas": ("Draw here", "এখানে আঁকুন"),
    "clear": ("Clear", "মুছুন"),
    "picture": ("Your picture", "আপনার ছবি"),
    "bring": ("Drop or paste a picture, or click to choose one", "ছবি টেনে আনুন বা পেস্ট করুন, অথবা ক্লিক করে বেছে নিন"),
    "examples": ("Examples", "নমুনা"),
    "found": ("What was found", "যা পাওয়া গেছে"),
    "scores": ("Best answers", "সেরা উত্তর"),
    "looks": ("What the model saw: ink, then each digit", "মডেল যা দেখেছে: কালি, তারপর প্রতিটি অঙ্ক"),
    "why": ("Why?", "কেন?"),
    "why_help": (
        "The least certain digit: blue strokes spoke for the answer, orange ones for the next best. Then the training "
        "digits that are most like it to the model.",
        "সবচেয়ে অনিশ্চিত অঙ্কটি: নীল দাগ উত্তরের পক্ষে, কমলা দাগ পরেরটির পক্ষে। তারপর মডেলের চোখে তার সবচেয়ে কাছাকাছি শেখার অঙ্কগুলো।",
    ),
    "reasons": ("Strokes and similar digits", "দাগ ও কাছাকাছি অঙ্ক"),
    "correct": ("Right or wrong?", "ঠিক না ভুল?"),
    "consent": (
        "I agree that this picture is kept to train the model.",
        "ছবিটি মডেলকে শেখানোর জন্য রাখা হোক, আমি রাজি।",
    ),
    "right": ("It is right", "ঠিক আছে"),
    "wrong": ("It is", "এটি"),
    "wrong_number": ("It says", "এখানে লেখা"),
    "send": ("Send", "পাঠান"),
    "files": ("Pictures, PDFs, or ZIP files of them", "অনেক ছবি, PDF, বা সেগুলোর ZIP"),
    "read": ("Read them", "পড়ুন"),
    "table": ("What they say", "যা লেখা আছে"),
    "csv": ("Download the table", "টেবিলটি নামান"),
    "about_it": (
        "Convolutional networks in PyTorch find the ink on a picture, tell one character from the next and read each. "
        "They say so when they cannot. All of this was measured with the checkpoint that this page runs:",
        "পাইটর্চের কনভোলিউশনাল নেটওয়ার্ক ছবির কালি খুঁজে বের করে, একটি অক্ষর থেকে আরেকটি আলাদা করে, তারপর প্রতিটি পড়ে। "
        "না পারলে সেটাও বলে। নিচের সবকিছু এই পাতার মডেলেই মাপা:",
    ),
    "confusion": ("Test digits, read as", "পরীক্ষার অঙ্ক, কী হিসেবে পড়া হয়েছে"),
    "mistakes": ("Test digits that are read wrongly", "পরীক্ষার যে অঙ্কগুলো ভুল পড়া হয়"),
    "use": ("Load it, call this page, retrain it:", "মডেল লোড করুন, এই পাতার API ব্যবহার করুন, আবার শেখান:"),
}
SAYINGS = {
    "blank": ("Draw a digit or a number.", "একটি অঙ্ক বা সংখ্যা আঁকুন।"),
    "waiting": ("Bring a picture of a digit or a number.", "একটি অঙ্ক বা সংখ্যার ছবি দিন।"),
    "nothing": ("No digit found.", "কোনো অঙ্ক পাওয়া যায়নি।"),
    "either": ("This could be {0} or {1}.", "এটি {0} বা {1} হতে পারে।"),
    "unreadable": ("I cannot read this as a digit.", "এটি অঙ্ক হিসেবে পড়া যাচ্ছে না।"),
    "unsure": ("I am not sure of every digit: {0}", "সব অঙ্ক নিয়ে নিশ্চিত নই: {0}"),
    "no_picture": (
        "This file cannot be read; save it as PNG or JPEG of less than 100 megapixels.",
        "ফাইলটি পড়া যাচ্ছে না; ১০০ মেগাপিক্সেলের ছোট PNG বা JPEG হিসেবে দিন।",
    ),
    "thanks": ("Thank you, kept as {0}.", "ধন্যবাদ, {0} হিসেবে রাখা হলো।"),
    "expired": ("That was too long ago: bring it again.", "অনেকক্ষণ হয়ে গেছে: ছবিটি আবার দিন।"),
    "no_consent": ("Nothing was kept: agree first.", "কিছুই রাখা হয়নি: আগে রাজি হতে হবে।"),
    "no_more": ("Nothing more is kept; what was sent stays.", "আর কিছু রাখা হবে না; যা পাঠানো হয়েছে তা থাকবে।"),
    "other_length": (
        "{0} digits were told apart: write as many, or bring them one by one.",
        "{0}টি অঙ্ক আলাদা করা গেছে: ততগুলোই লিখুন, নয়তো একটি একটি করে দিন।",
    ),
    "changed": (
        "The picture has changed: wait for its answer.",
        "ছবিটি বদলেছে: নতুন উত্তরের জন্য অপেক্ষা করুন।",
    ),
}
USE = """
```python
from transformers import pipeline

reader = pipeline("number-reading", model="{name}", trust_remote_code=True)
reader("number.png")
```

```python
from gradio_client import Client, handle_file

Client("ADDRESS_OF_THIS_PAGE").predict(handle_file("number.png"), api_name="/read_number")
```

```sh
python train.py --model_name_or_path {name} --custom_data corrections/
```
"""


def say(name: str, language: str, *values) -> str:
    return SAYINGS[name][LANGUAGES[language]].format(*values)


def in_words(answer: Answer | None, language: str, invitation: str) -> str:
    """The answer as a heading, or a sentence where the model will not stand behind it."""
    if answer is None or not answer.text:
        is_brought = answer is not None and invitation == "waiting"
        return say("nothing" if is_brought else invitation, language)
    if answer.is_sure:
        return "# " + answer.text.replace("\n", "\n# ")
    if len(answer.characters) > 1:
        return say("unsure", language, answer.sure.replace("\n", " / "))
    plausible = answer.plausible
    return say("either", language, *plausible) if len(plausible) == 2 else say("unreadable", language)


def identity(brought: EditorValue | str | None) -> str:
    """What tells a drawing, or the file of a picture, from every other one."""
    if not isinstance(brought, dict):
        return brought or ""
    composite = brought["composite"]
    return "" if composite is None else hashlib.sha256(composite.tobytes()).hexdigest()


class Desk:
    """What the page asks for, event by event."""

    def __init__(self, answers: Answers, corrections: Corrections):
        self.answers, self.corrections = answers, corrections
        shipped = load_dataset(str(ROOT / "tests" / "data" / "mnist"), split="train")
        self.frames, self.labels = frames_of(shipped)
        self.explainer = Explainer(answers.model, self.frames.float() / 255, self.labels)

    def read_drawing(self, drawing: EditorValue | None, seen: str, language: str) -> tuple | dict:
        """
        The canvas as it is now: its composite is transparent where nothing was drawn. One that was `seen` changes
        nothing: the canvas tells of the same drawing several times, and a correction may have begun meanwhile.
        """
        now = identity(drawing)
        if now == seen:
            return gr.skip()
        answer = self.answers(drawing["composite"]) if now else None
        return self.show(now, answer, in_words(answer, language, "blank"))

    def read_picture(self, picture: str | None, language: str) -> tuple:
        try:
            answer = self.answers(picture) if picture else None
            words = in_words(answer, language, "waiting")
        except UnreadableImageError as error:
            answer, words = None, str(error)
        figure = gr.Image(answer and answer.figure, visible=answer is not None)
        return figure, *self.show(identity(picture), answer, words)

    def show(self, seen: str, answer: Answer | None, words: str) -> tuple:
        """The updates of an answer column: what was seen, and what it says."""
        there = answer is not None and answer.text != ""
        is_number = there and len(answer.characters) > 1
        return (
            seen,
            answer,
            words,
            gr.Label(answer.scores if there else None, visible=there),
            gr.Image(answer.looks if there else None, visible=there),
            gr.Accordion(visible=there, open=False),
            [],
            gr.Accordion(visible=there),
            False,
            gr.Button(visible=there and answer.is_sure),
            gr.Radio(value=None, visible=there and not is_number),
            gr.Textbox(value="", visible=is_number),
            "",
        )

    def explain(self, answer: Answer | None) -> list[tuple[Image.Image, str]]:
        """The strokes of the least certain character, and training digits like it."""
        if answer is None or not len(answer.frames):
            return []
        frame = answer.frames[answer.weakest]
        why = self.explainer.explain(frame)
        return [(draw_strokes(frame, why.strokes), f"{why.label}, not {why.runner_up}"), *self.explainer.similar(frame)]

    def consented(
        self,
        brought: EditorValue | str | None,
        seen: str,
        answer: Answer | None,
        label: str | None,
        number: str,
        consent: bool,
        language: str,
        request: gr.Request,
    ) -> str | dict:
        """What was said before the visitor agreed, or what becomes of it when that is taken back."""
        truth = label or number
        if not truth:
            return gr.skip()
        if not consent:
            return say("no_more", language)
        return self.correct(brought, seen, answer, truth, consent, language, request)

    def agree(
        self,
        brought: EditorValue | str | None,
        seen: str,
        answer: Answer | None,
        consent: bool,
        language: str,
        request: gr.Request,
    ) -> tuple[str | None, str, str]:
        """Says what the answer says, as a label or a number, so that it counts if the visitor agrees only later."""
        text = answer and answer.text
        label, number = (text, "") if answer is None or len(answer.characters) == 1 else (None, text)
        return label, number, self.correct(brought, seen, answer, text, consent, language, request)

    def correct(
        self,
        brought: EditorValue | str | None,
        seen: str,
        answer: Answer | None,
        truth: str | None,
        consent: bool,
        language: str,
        request: gr.Request,
    ) -> str:
        """
        Keeps every character of an answer under its label, where the visitor has agreed; nothing where what was seen is
        no longer what is there, and the next answer on its way.
        """
        if answer is None:
            return say("expired", language)
        if identity(brought) != seen:
            return say("changed", language)
        if not truth:
            return ""
        if not consent:
            return say("no_consent", language)
        writer = hashlib.sha256(request.session_hash.encode()).hexdigest()[:8]
        try:
            labels = [truth] if len(answer.characters) == 1 else self.corrections.labels_in(truth)
            if len(labels) != len(answer.characters):
                return say("other_length", language, len(answer.characters))
            for character, label in zip(answer.characters, labels):
                self.corrections.add(character, label, writer)
        except DataError as error:
            return str(error)
        return say("thanks", language, "".join(labels))

    def read_batch(self, files: list[str] | None, progress: gr.Progress = gr.Progress()) -> Iterator[tuple]:
        """
        Reads the handwritten numbers on many pictures.

        Args:
            files: Pictures, PDFs, or ZIP files of them.

        Returns:
            A row a picture: file, text with ? for what cannot be read, score in [0, 1], and why a picture could not be
            read; and the same as a CSV file.
        """
        if not files:
            raise gr.Error("There is no picture: choose some first.", print_exception=False)
        pictures = brought_pictures(files)
        reading = NumberReader(batch_size=8, pipeline=self.answers.reader).read(pictures)
        rows = list(progress.tqdm(reading, total=count_pictures(files), unit="pictures"))
        table = pd.DataFrame(rows, columns=COLUMNS)
        with tempfile.TemporaryDirectory() as folder:  # Gradio takes a copy, which it deletes in time
            csv = Path(folder, "numbers.csv")
            table.to_csv(csv, index=False, encoding="utf-8-sig")  # by which Excel knows it
            yield table.round({"score": 3}), str(csv)

    def read_number(self, picture: str) -> dict:
        """
        Reads the handwritten number on a picture.

        Args:
            picture: A photo, scan or drawing of one or more handwritten digits.

        Returns:
            The text, with ? for what cannot be read, its score in [0, 1], and the label, score, box and best answers of
            each digit.
        """
        try:
            return self.answers.reader(picture)
        except UnreadableImageError as error:
            raise gr.Error(str(error), print_exception=False) from None


class Page:
    """Components whose texts are in two languages, and change together."""

    def __init__(self):
        self.texts: list[tuple[gr.blocks.Block, dict[str, str]]] = []

    def add(self, kind: type[gr.blocks.Block], *args, texts: dict[str, str], **kwargs) -> gr.blocks.Block:
        """A component with the texts that are named for its properties: `add(gr.Button, texts={"value": "clear"})`."""
        block = kind(*args, **{name: TEXTS[key][0] for name, key in texts.items()}, **kwargs)
        self.texts.append((block, texts))
        return block

    def in_language(self, language: str) -> list[dict]:
        """The updates of all components."""
        column = LANGUAGES[language]
        return [gr.update(**{name: TEXTS[key][column] for name, key in texts.items()}) for _, texts in self.texts]


def language_of(request: gr.Request) -> str:
    """Bangla for those whose browser asks for it first."""
    return "বাংলা" if request.headers.get("accept-language", "").lower().startswith("bn") else "English"


QUIETLY = {"api_visibility": "private", "show_progress": "hidden"}  # parts of the page, no endpoints of their own


def answer_column(
    page: Page,
    desk: Desk,
    language: gr.Radio,
    invitation: str,
    brought: gr.Sketchpad | gr.Image,
    figure: gr.Image | None = None,
) -> list[gr.blocks.Block]:
    """
    The answer to what was brought, with a figure under the words, and what can be done with it: the components that
    `show` fills.
    """
    seen, answer = gr.State("", time_to_live=SECONDS_KEPT), gr.State(None, time_to_live=SECONDS_KEPT)
    words = gr.Markdown(say(invitation, "English"), elem_classes="answer")
    if figure:
        figure.render()
    scores = page.add(gr.Label, texts={"label": "scores"}, num_top_classes=3, show_heading=False, visible=False)
    looks = page.add(
        gr.Image, texts={"label": "looks", "alt_text": "looks"}, visible=False, buttons=[], interactive=False
    )
    with page.add(gr.Accordion, texts={"label": "correct"}, visible=False) as correct:
        consent = page.add(gr.Checkbox, texts={"label": "consent"})
        right = page.add(gr.Button, texts={"value": "right"}, size="sm")
        label = page.add(gr.Radio, desk.answers.labels, texts={"label": "wrong"})
        number = page.add(gr.Textbox, texts={"label": "wrong_number", "submit_btn": "send"}, max_length=100)
        status = gr.Markdown()
    with page.add(gr.Accordion, texts={"label": "why"}, open=False, visible=False) as why:
        page.add(gr.Markdown, texts={"value": "why_help"})
        reasons = page.add(
            gr.Gallery,
            texts={"label": "reasons"},
            buttons=[],
            allow_preview=False,
            interactive=False,
            elem_classes="pictures",
        )
    why.expand(desk.explain, answer, reasons, api_visibility="private")
    answered = [brought, seen, answer]
    right.click(desk.agree, [*answered, consent, language], [label, number, status], **QUIETLY)
    label.input(desk.correct, [*answered, label, consent, language], status, **QUIETLY)
    consent.input(desk.consented, [*answered, label, number, consent, language], status, **QUIETLY)
    number.submit(desk.correct, [*answered, number, consent, language], status, **QUIETLY)
    language.change(lambda *now: in_words(*now, invitation), [answer, language], words, **QUIETLY)
    return [seen, answer, words, scores, looks, why, reasons, correct, consent, right, label, number, status]


def draw_tab(page: Page, desk: Desk, language: gr.Radio) -> None:
    with gr.Row():
        with gr.Column():
            canvas = page.add(
                gr.Sketchpad,
                BLANK_SHEET,
                texts={"label": "canvas"},
                brush=gr.Brush(default_size=12, colors=["#000000"], color_mode="fixed"),
                canvas_size=(CANVAS_SIDE, CANVAS_SIDE),
                fixed_canvas=True,
                elem_classes="sheet",
                height=CANVAS_SIDE + 60,  # the toolbar's share
                layers=False,
                transforms=(),
            )
            clear = page.add(gr.Button, texts={"value": "clear"})
        with gr.Column():
            shown = answer_column(page, desk, language, "blank", canvas)
    seen = shown[0]
    canvas.change(desk.read_drawing, [canvas, seen, language], shown, trigger_mode="always_last", **QUIETLY)
    clear.click(lambda: BLANK_SHEET, None, canvas, **QUIETLY)


def upload_tab(page: Page, desk: Desk, language: gr.Radio, examples: list[str]) -> None:
    with gr.Row():
        with gr.Column():
            picture = page.add(
                gr.Image,
                texts={"label": "picture", "placeholder": "bring"},
                sources=["upload", "clipboard", "webcam"],
                type="filepath",
                image_mode=None,
                height=CANVAS_SIDE,
            )
            found = {"label": "found", "alt_text": "found"}
            figure = page.add(
                gr.Image, texts=found, visible=False, buttons=["fullscreen"], height=CANVAS_SIDE, render=False
            )
        with gr.Column():
            shown = answer_column(page, desk, language, "waiting", picture, figure)
    # gr.Examples would do, but for its thumbnails, which have no name that a screen reader could say
    samples = page.add(
        gr.Gallery,
        examples,
        texts={"label": "examples"},
        buttons=[],
        allow_preview=False,
        elem_classes="pictures",
        object_fit="contain",
    )

    def choose(event: gr.SelectData) -> str:
        return examples[event.index]

    samples.select(choose, None, picture, **QUIETLY)
    reading = picture.change(
        desk.read_picture,
        [picture, language],
        [figure, *shown],
        api_visibility="private",
        show_progress="minimal",  # a scan takes seconds
        show_progress_on=picture,
    )
    # gr.Image opens the file before the reader sees it, so a damaged one fails outside our code
    reading.failure(lambda language: say("no_picture", language), language, shown[2], **QUIETLY)


def batch_tab(page: Page, desk: Desk) -> None:
    files = page.add(
        gr.File, texts={"label": "files"}, file_count="multiple", file_types=["image", ".pdf", ".zip"], height=180
    )
    read = page.add(gr.Button, texts={"value": "read"}, variant="primary")
    csv = page.add(gr.DownloadButton, texts={"label": "csv"}, visible=False)
    table = page.add(
        gr.Dataframe,
        texts={"label": "table"},
        headers=COLUMNS,
        column_widths=["34%", "20%", "18%", "28%"],
        interactive=False,
        wrap=True,
        visible=False,
    )
    reading = read.click(desk.read_batch, files, [table, csv], api_name="read_batch")

    def show(is_there: bool) -> tuple:
        return gr.Dataframe(visible=is_there), gr.DownloadButton(visible=is_there)

    reading.success(lambda: show(True), None, [table, csv], **QUIETLY)
    files.clear(lambda: show(False), None, [table, csv], **QUIETLY)


def about_tab(page: Page, name: str, revision: str | None) -> None:
    """What is known of a checkpoint, from what was measured with it and lies beside its weights."""
    page.add(gr.Markdown, texts={"value": "about_it"})
    if results := file_of(name, "results.json", revision):
        gr.Markdown(tables_of(json.loads(Path(results).read_text())), elem_classes="figures")
    with gr.Row():
        for key, file in (("confusion", CONFUSION_FILE), ("mistakes", MISTAKES_FILE)):
            if picture := file_of(name, file, revision):
                texts = {"label": key, "alt_text": key}
                page.add(gr.Image, picture, texts=texts, show_label=False, buttons=["fullscreen"])
    page.add(gr.Markdown, texts={"value": "use"})
    gr.Markdown(USE.format(name="digit_model/pretrained" if name == PRETRAINED else name))


def build_app(desk: Desk, examples: list[str], name: str = PRETRAINED, revision: str | None = None) -> gr.Blocks:
    """
    Args:
        desk: What answers.
        examples: Files of pictures to click.
        name: The checkpoint that it answers with, a folder or an id on the Hub.
        revision: Its tag, branch or commit on the Hub.
    """
    page = Page()
    with gr.Blocks(title="Handwritten digits", delete_cache=(SECONDS_KEPT // 3, SECONDS_KEPT)) as app:
        with gr.Row(elem_classes="head"):
            page.add(gr.Markdown, texts={"value": "title"})
            language = gr.Radio(
                list(LANGUAGES),
                value="English",
                label="Language · ভাষা",
                show_label=False,
                container=False,
                scale=0,
                min_width=170,
            )
        with page.add(gr.Tab, texts={"label": "draw"}):
            draw_tab(page, desk, language)
        with page.add(gr.Tab, texts={"label": "upload"}):
            upload_tab(page, desk, language, examples)
        with page.add(gr.Tab, texts={"label": "batch"}):
            batch_tab(page, desk)
        with page.add(gr.Tab, texts={"label": "about"}):
            about_tab(page, name, revision)
        # an endpoint without a place on the page
        picture, reading = gr.File(visible=False, label="picture"), gr.JSON(visible=False, label="reading")
        gr.Button(visible=False).click(desk.read_number, picture, reading, api_name="read_number")
        translated = [block for block, _ in page.texts]
        language.change(page.in_language, language, translated, js=IN_THEIR_LANGUAGE, **QUIETLY)
        app.load(language_of, None, language, **QUIETLY)
    return app


def made_examples(desk: Desk, folder: Path) -> list[str]:
    """Pictures of numbers on all papers, written with the digits that ship; such as the model can read."""
    made, files = make_numbers(desk.frames, desk.labels, count=60, seed=1), []
    written = (number for number in made if len(number.text) > 1)  # of a single digit, more is asked
    readable = (number.image for number in written if desk.answers.reader(number.image)["text"] == number.text)
    for image in islice(readable, EXAMPLES):
        files.append(str(folder / f"{len(files)}.jpg"))
        image.save(files[-1])
    return files


def main() -> None:
    name, revision = os.environ.get("DIGIT_MODEL", PRETRAINED), os.environ.get("DIGIT_REVISION")
    try:
        answers = Answers(*load_checkpoint(name, revision))
    except CheckpointError as error:
        sys.exit(f"error: {error}")
    corrections = Corrections(os.environ.get("CORRECTIONS_FOLDER", ROOT / "corrections"), answers.labels)
    desk = Desk(answers, corrections)
    with ExitStack() as until_it_ends:
        folder = until_it_ends.enter_context(tempfile.TemporaryDirectory())
        os.environ.setdefault("GRADIO_TEMP_DIR", folder)  # what visitors brought last goes with it
        if repo_id := os.environ.get("CORRECTIONS_REPO"):
            try:
                until_it_ends.enter_context(corrections.publish_to(repo_id))
            except DataError as error:
                print(f"warning: {error}", file=sys.stderr)
        app = build_app(desk, made_examples(desk, Path(folder)), name, revision)
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # a Space is stopped so, and ends as by Ctrl-C
        app.queue(**QUEUE).launch(
            max_file_size=MAX_FILE_SIZE, css=CSS, js=ANNOUNCED, mcp_server=True, run_history=False
        )


if __name__ == "__main__":
    main()
