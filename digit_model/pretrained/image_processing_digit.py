"""Any picture, from any source, to the page that the model reads."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from transformers.image_processing_backends import PilBackend
from transformers.image_processing_base import BatchFeature
from transformers.image_utils import PILImageResampling, SizeDict, load_image
from transformers.processing_utils import ImagesKwargs


class UnreadableImageError(ValueError):
    """A picture that cannot be read; the message is one sentence for the person who brought it."""


def open_image(source: str | Path | Image.Image) -> Image.Image:
    """
    Opens a picture without changing it: transparency, palette, 16 bit and EXIF orientation are kept, which
    `transformers.image_utils.load_image` drops.

    Args:
        source: A path, a URL, a base64 string, or a picture that is open already.

    Raises:
        UnreadableImageError: If it is missing, damaged or no picture.
    """
    if isinstance(source, Image.Image):
        return source
    name = Path(source).name if len(str(source)) < 1024 else "The picture"
    try:
        if not Path(source).exists() and str(source).startswith(("http://", "https://", "data:image/")):
            return load_image(str(source))
        image = Image.open(source)
        image.load()
        return image
    except FileNotFoundError:
        raise UnreadableImageError(f"{source} does not exist; check the path of the picture.") from None
    except UnidentifiedImageError:
        raise UnreadableImageError(f"{name} is not a picture that can be read; save it as PNG or JPEG.") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnreadableImageError(f"{name} cannot be read ({error}); save it again as PNG or JPEG.") from None


def flatten(image: Image.Image) -> Image.Image:
    """A picture in any mode -> 8-bit grey ("L"), upright as its EXIF tag says, transparent parts taken as paper."""
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return Image.fromarray(_to_uint8(np.asarray(image)))
    if image.has_transparency_data:
        return _on_paper(image.convert("RGBA"))
    return image.convert("L")


def _on_paper(image: Image.Image) -> Image.Image:
    """Paper is white, but black under ink that is light: white strokes on nothing come from a dark canvas."""
    grey, alpha = image.convert("RGB").convert("L"), np.asarray(image.getchannel("A"), dtype=np.float32)
    is_light = alpha.any() and not alpha.all() and np.average(np.asarray(grey), weights=alpha) > 200
    paper = Image.new("L", image.size, 0 if is_light else 255)
    paper.paste(grey, mask=image.getchannel("A"))
    return paper


def _to_uint8(array: np.ndarray) -> np.ndarray:
    """Any number type -> uint8: floats up to 1 are shares of white, integers above 255 are 16 bit."""
    if array.dtype == np.uint8:
        return array
    array = np.nan_to_num(array.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    highest = array.max(initial=0)
    white = 1 if highest <= 1 else 255 if highest <= 255 else 65535
    return (array.clip(0, white) * (255 / white)).round().astype(np.uint8)


def _array_to_image(array: np.ndarray) -> Image.Image:
    """(H, W), (H, W, C) or (C, H, W) with 1 to 4 channels -> a picture."""
    if array.ndim == 3 and array.shape[-1] not in (1, 2, 3, 4) and array.shape[0] in (1, 2, 3, 4):
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.size == 0 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] > 4):
        raise UnreadableImageError(
            f"An array of shape {array.shape} is no picture; pass (H, W), (H, W, C) or (C, H, W) with 1 to 4 channels."
        )
    return Image.fromarray(np.ascontiguousarray(_to_uint8(array)))


class DigitImageProcessorKwargs(ImagesKwargs, total=False):
    """
    Args:
        frame_size (`int`, *optional*, defaults to 28):
            Side of a picture that is a frame already, in pixels.
    """

    frame_size: int | None


class DigitImageProcessor(PilBackend):
    """
    Any picture -> page. A page is grey, square, in [0, 1], and shows the whole picture in its own aspect; what is
    left over at the sides has the tone of the picture's border. Pictures that are MNIST frames already (28x28, ink
    bright on a dark border) stay as they are when all pictures of a call are.

    Accepts paths, URLs, PIL pictures, and arrays or tensors of shape (H, W), (H, W, C) or (C, H, W), alone, in a list
    or as a batch of four dimensions; returns `pixel_values`, float32, (N, 1, S, S).
    """

    valid_kwargs = DigitImageProcessorKwargs
    size = {"height": 128, "width": 128}
    frame_size = 28
    resample = PILImageResampling.BILINEAR
    rescale_factor = 1 / 255

    def _prepare_images_structure(self, images, expected_ndims: int = 3) -> list:
        # transformers' own drops transparency and takes no grey (H, W) array
        is_one = isinstance(images, (str, Path, Image.Image)) or getattr(images, "ndim", 0) in (2, 3)
        images = [images] if is_one else list(images)
        return [open_image(image) if isinstance(image, (str, Path)) else image for image in images]

    def process_image(self, image: Image.Image | np.ndarray | torch.Tensor, **kwargs) -> Image.Image:
        if not isinstance(image, Image.Image):
            image = _array_to_image(np.asarray(image))
        return flatten(image)

    def _preprocess(
        self,
        images: list[Image.Image],
        size: SizeDict,
        frame_size: int,
        resample: PILImageResampling,
        rescale_factor: float,
        return_tensors: str | None,
        **kwargs,
    ) -> BatchFeature:
        if not all(self._is_frame(image, frame_size) for image in images):
            images = [self._fit(image, (size.width, size.height), resample) for image in images]
        pages = [np.asarray(image, dtype=np.float32)[None] * np.float32(rescale_factor) for image in images]
        return BatchFeature({"pixel_values": pages}, tensor_type=return_tensors)

    @staticmethod
    def _is_frame(image: Image.Image, frame_size: int) -> bool:
        if image.size != (frame_size, frame_size):
            return False
        return _border(image).mean() < 32  # a handful of MNIST's digits touch the border, none lines it

    @staticmethod
    def _fit(image: Image.Image, size: tuple[int, int], resample: PILImageResampling) -> Image.Image:
        scale = min(size[0] / image.width, size[1] / image.height)
        fitted = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(fitted, resample, reducing_gap=3.0)
        page = Image.new("L", size, int(np.median(_border(image))))
        page.paste(image, ((size[0] - fitted[0]) // 2, (size[1] - fitted[1]) // 2))
        return page


def _border(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image)
    return np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
