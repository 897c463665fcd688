"""
The Space: draw or upload a digit or a number and see what the model reads.

    python app.py                                # on the checkpoint that ships in the repository
    DIGIT_MODEL=me/digit-cnn python app.py       # on another one: a folder or an id on the Hub
"""

import os
import sys

import gradio as gr
import numpy as np
import torch
from gradio.components.image_editor import EditorValue
from PIL import Image

from digit_model import (
    PRETRAINED,
    CheckpointError,
    DigitForImageClassification,
    DigitImageProcessor,
    NumberReadingPipeline,
    UnreadableImageError,
    load_checkpoint,
)
from digit_model.figure import draw_reading
from digit_model.image_processing_digit import open_image

# Both languages side by side: Gradio picks translations for its own languages alone, and Bangla is none of them.
TITLE = """# Handwritten digits · হাতে লেখা অঙ্ক
Draw a digit or a number, or bring a picture of one. · একটি অঙ্ক বা সংখ্যা আঁকুন, অথবা একটি ছবি দিন।
"""
DRAW_A_DIGIT = "Draw a digit · একটি অঙ্ক আঁকুন"
NO_DIGIT = "No digit found · কোনো অঙ্ক পাওয়া যায়নি"
UNSURE = "I cannot read this as a digit · অঙ্ক হিসেবে পড়া যাচ্ছে না"
NO_PICTURE = "This file cannot be read; save it as PNG or JPEG · ফাইলটি পড়া যাচ্ছে না; PNG বা JPEG হিসেবে দিন"
CANVAS_SIDE = 320
# an empty Sketchpad waits for its visitor to pick the brush, and swallows the first stroke; one with a layer does not
BLANK_SHEET = {"background": None, "layers": [Image.new("RGBA", (CANVAS_SIDE, CANVAS_SIDE))], "composite": None}


class Reader:
    """A model as the page asks it: a picture in, the answer and what the model saw out."""

    def __init__(self, model: DigitForImageClassification, processor: DigitImageProcessor):
        self.model, self.processor = model, processor
        self.numbers = NumberReadingPipeline(model=model, image_processor=processor)

    def read(self, picture: np.ndarray | str, if_blank: str) -> tuple[dict[str, float] | str, np.ndarray | None]:
        """A whole number: its text, and the picture with boxes. One digit: its bars, and the frame."""
        try:
            reading = self.numbers(picture)
            if len(reading["digits"]) > 1:
                image = Image.fromarray(picture) if isinstance(picture, np.ndarray) else open_image(picture)
                return {reading["text"]: reading["score"]}, np.asarray(draw_reading(image, reading))
            pages = self.processor(picture, return_tensors="pt")["pixel_values"]
        except UnreadableImageError as error:
            raise gr.Error(str(error), print_exception=False) from None
        with torch.inference_mode():
            output = self.model(pages)
        frame = (output.frames[0, 0] * 255).byte().numpy()
        if not output.logits.any():
            return if_blank, None
        scores, enlarged = output.logits[0].softmax(0).tolist(), frame.repeat(8, 0).repeat(8, 1)
        if max(scores) < self.model.config.rejection_threshold:
            return UNSURE, enlarged
        return dict(zip(self.model.config.id2label.values(), scores)), enlarged

    def read_drawing(self, drawing: EditorValue | None) -> tuple[dict[str, float] | str, np.ndarray | None]:
        """Reads the digit on a canvas: its composite, RGBA, transparent where nothing was drawn."""
        if drawing is None or drawing["composite"] is None:
            return DRAW_A_DIGIT, None
        return self.read(drawing["composite"], DRAW_A_DIGIT)

    def read_picture(self, picture: str | None) -> tuple[dict[str, float] | str | None, np.ndarray | None]:
        """Reads the digit in a picture file."""
        return self.read(picture, NO_DIGIT) if picture else (None, None)


def answer_column(blank: str | None = None) -> tuple[gr.Label, gr.Image]:
    with gr.Column():
        label = gr.Label(blank, label="Answer · উত্তর", num_top_classes=3)
        frame = gr.Image(label="What the model looks at · মডেল যা দেখে", height=224, buttons=[], interactive=False)
    return label, frame


def build_app(reader: Reader) -> gr.Blocks:
    with gr.Blocks(title="Handwritten digits") as app:
        gr.Markdown(TITLE)
        with gr.Tab("Draw · আঁকুন"), gr.Row():
            with gr.Column():
                canvas = gr.Sketchpad(
                    BLANK_SHEET,
                    label="Your digit · আপনার অঙ্ক",
                    brush=gr.Brush(default_size=14, colors=["#000000"], color_mode="fixed"),
                    canvas_size=(CANVAS_SIDE, CANVAS_SIDE),
                    fixed_canvas=True,
                    height=CANVAS_SIDE + 100,  # the toolbar's share
                    layers=False,
                    transforms=(),
                )
                clear = gr.Button("Clear · মুছুন")
            answer = answer_column(DRAW_A_DIGIT)
            canvas.change(reader.read_drawing, canvas, answer, trigger_mode="always_last", show_progress="hidden")
            gr.on([clear.click, canvas.clear], lambda: BLANK_SHEET, None, canvas, api_visibility="private")
        with gr.Tab("Upload · ছবি দিন"), gr.Row():
            picture = gr.Image(
                label="Your picture · আপনার ছবি",
                sources=["upload", "clipboard", "webcam"],
                type="filepath",
                image_mode=None,
                height=CANVAS_SIDE + 100,
            )
            answer = answer_column()
            reading = picture.change(reader.read_picture, picture, answer, show_progress="hidden")
            # gr.Image opens the file before the reader sees it, so a damaged one fails outside our code
            reading.failure(lambda: (NO_PICTURE, None), None, answer, api_visibility="private")
    return app


def main() -> None:
    try:
        reader = Reader(*load_checkpoint(os.environ.get("DIGIT_MODEL", PRETRAINED)))
    except CheckpointError as error:
        sys.exit(f"error: {error}")
    build_app(reader).launch()


if __name__ == "__main__":
    main()
