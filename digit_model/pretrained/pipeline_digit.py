"""The pipelines of a digit model, which travel with a checkpoint."""

from transformers import ImageClassificationPipeline


class DigitImageClassificationPipeline(ImageClassificationPipeline):
    """
    `pipeline("image-classification")` for pictures as people have them: transparent pixels are paper (the built-in
    one turns them black), and MNIST frames may stand beside photos in one batch.
    """

    def preprocess(self, image, timeout=None):
        page = self.image_processor(image, return_tensors="pt")["pixel_values"][0]
        return {"pages": [page.to(self.dtype)]}

    def _forward(self, model_inputs):
        pages = model_inputs["pages"]
        if isinstance(pages[0], list):  # a batch, as the pipeline's collation nests it
            pages = [page for (page,) in pages]
        return {"logits": self.model(pages).logits}


PIPELINES = {"image-classification": DigitImageClassificationPipeline}
"""Task name -> the pipeline that `transformers.pipeline` builds for a digit model."""
