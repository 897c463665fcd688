"""Any picture, from any source, to the page that the model reads."""

import base64
import warnings
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from huggingface_hub.utils import httpx
from PIL import ExifTags, Image, ImageCms, UnidentifiedImageError
from transformers.image_processing_backends import PilBackend
from transformers.image_processing_base import BatchFeature
from transformers.image_utils import PILImageResampling, SizeDict
from transformers.processing_utils import ImagesKwargs

from .scans_digit import DAMAGE, open_page, split_page

try:  # the format of iPhones; a checkpoint is read without it too
    from pillow_heif import register_heif_opener

    register_heif_opener()
except ImportError:
    pass

MAX_PIXELS = 100_000_000
"""A picture that decodes to more than this fills the memory rather than showing a digit."""

SHRINK_UP_TO = 3
"""How many times larger than its page a picture may stay when it is first shrunk the quick way."""

MIN_SIDE = 4
"""In pixels; nothing can be read from less."""

MAX_BYTES = 200_000_000
"""A download that is larger is no picture, and would fill the memory."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}  # EXIF orientation -> what makes the picture upright
_WITH_ORIENTATION = ("exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp")  # where Pillow looks for it


class UnreadableImageError(ValueError):
    """A picture that cannot be read; the message is one sentence for the person who brought it."""


def is_one_picture(source: object) -> bool:
    """Whether this is something to be opened, or an array of one picture, and not several of them."""
    is_file = isinstance(source, (str, Path, bytes, Image.Image)) or hasattr(source, "read")
    return is_file or getattr(source, "ndim", 0) in (2, 3) or not hasattr(source, "__iter__")


def open_image(
    source: str | Path | bytes | BinaryIO | Image.Image, draft_side: int | None = None, timeout: float | None = None
) -> Image.Image:
    """
    Opens a picture without changing it: transparency, palette, 16 bit and EXIF orientation are kept, which
    `transformers.image_utils.load_image` drops.

    Args:
        source: A path, a URL, a "data:image/" URI, a file's bytes, an open file, or a picture that is open already. A
            path or a URL that ends in "#page=2" is the second page of a TIFF or a PDF; without it, the first is opened.
        draft_side: A JPEG may be decoded at a half, a quarter or an eighth of its size as long as its longer side keeps
            this many pixels: a 12-megapixel photo then costs a tenth of the time and a sixtieth of the memory.
        timeout: Seconds to wait for the server of a URL; httpx's own five if None.

    Raises:
        UnreadableImageError: If it is missing, damaged, no picture, above `MAX_PIXELS` or thinner than `MIN_SIDE`.
    """
    is_open = isinstance(source, Image.Image)
    is_name = isinstance(source, Path) or (isinstance(source, str) and not source.startswith("data:"))
    name = Path(source).name if is_name else "The picture"
    source, page = split_page(str(source)) if is_name else (source, 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS says what is too large
            image = source if is_open else open_page(_fetch(source, timeout), page)
            if draft_side and not is_open:
                shrink = max(1, max(image.size) / draft_side)
                image.draft(None, tuple(max(MIN_SIDE, int(side / shrink)) for side in image.size))
            _check_size(image, name).load()
        return image
    except UnreadableImageError:
        raise
    except FileNotFoundError:
        raise UnreadableImageError(f"{source} does not exist; check the path of the picture.") from None
    except UnidentifiedImageError:
        raise UnreadableImageError(f"{name} is not a picture that can be read; save it as PNG or JPEG.") from None
    except IsADirectoryError:
        raise UnreadableImageError(f"{source} is a folder; name a picture in it.") from None
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason, _, _ = str(error).partition("\n")
        raise UnreadableImageError(f"{source} cannot be fetched ({reason}); check the address.") from None
    except Image.DecompressionBombError:
        raise UnreadableImageError(f"{name} has more than {MAX_PIXELS:,} pixels; save it smaller.") from None
    except DAMAGE as error:
        raise UnreadableImageError(_damaged(name, error)) from None


def _damaged(name: str, error: Exception) -> str:
    reason, _, _ = (getattr(error, "strerror", None) or str(error) or type(error).__name__).partition("\n")
    return f"{name} cannot be read ({reason}); save it again as PNG or JPEG."


def _check_size(image: Image.Image, name: str) -> Image.Image:
    size = f"{image.width} x {image.height} pixels"
    if image.width * image.height > MAX_PIXELS:
        raise UnreadableImageError(f"{name} has {size}, more than {MAX_PIXELS:,} in all; save it smaller.")
    if min(image.size) < MIN_SIDE:
        raise UnreadableImageError(f"{name} has {size}, too few to read anything; bring a larger one.")
    return image


def _fetch(source: str | bytes | BinaryIO, timeout: float | None) -> str | BytesIO:
    if isinstance(source, bytes):
        return BytesIO(source)
    if hasattr(source, "read"):
        return source if isinstance(source, BytesIO) else BytesIO(source.read())
    if not isinstance(source, str):
        raise UnreadableImageError(
            f"{type(source).__name__} is no picture; pass a path, a URL, bytes of a file, a PIL picture or an array."
        )
    if source.lower().startswith(("http://", "https://")):
        return _download(source.strip(), timeout)
    if source.startswith("data:image/"):
        return BytesIO(base64.b64decode(source.partition(",")[2]))
    return source


def _download(url: str, timeout: float | None) -> BytesIO:
    file = BytesIO()
    with httpx.stream("GET", url, follow_redirects=True, **({"timeout": timeout} if timeout else {})) as response:
        for part in response.raise_for_status().iter_bytes():
            file.write(part)
            if file.tell() > MAX_BYTES:
                raise UnreadableImageError(f"{url} is larger than {MAX_BYTES:,} bytes; bring a smaller picture.")
    file.seek(0)
    return file


def upright(image: Image.Image) -> Image.Image:
    """
    A picture as a person sees it, turned as its EXIF tag says; 16 bit, which Pillow would cut off, become 8, and LAB,
    which it converts by a profile only, RGB.
    """
    image = _turned(image)
    if image.mode == "LAB":
        profiles = (ImageCms.createProfile(name) for name in ("LAB", "sRGB"))
        return ImageCms.profileToProfile(image, *profiles, outputMode="RGB")
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return Image.fromarray(_to_uint8(np.asarray(image)))
    return image


def _turned(image: Image.Image) -> Image.Image:
    """As `ImageOps.exif_transpose` does it, which writes all EXIF anew, and fails where any tag of it is damaged."""
    turn = None
    with suppress(Exception):  # Pillow raises nearly anything over damaged EXIF, which counts as none
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
    if turn is None:
        return image
    turned = image.transpose(turn)
    turned.info = {name: value for name, value in image.info.items() if name not in _WITH_ORIENTATION}
    return turned


def flatten(image: Image.Image) -> Image.Image:
    """A picture in any mode -> 8-bit grey ("L"), upright as its EXIF tag says, transparent parts taken as paper."""
    image = upright(image)
    if image.has_transparency_data:
        image = on_paper(image.convert("RGBA"))
    return image.convert("L")


def on_paper(image: Image.Image) -> Image.Image:
    """
    RGBA -> RGB; paper is white, but black under ink that is light: white strokes on nothing come from a dark canvas.
    """
    grey, alpha = image.convert("RGB").convert("L"), np.asarray(image.getchannel("A"), dtype=np.float32)
    is_light = alpha.any() and not alpha.all() and np.average(np.asarray(grey), weights=alpha) > 200
    paper = Image.new(image.mode, image.size, "black" if is_light else "white")
    return Image.alpha_composite(paper, image).convert("RGB")


def _to_uint8(array: np.ndarray) -> np.ndarray:
    """
    Any number type -> uint8: up to 1 they are shares of white, up to 255 of 8 bit, beyond of 16 bit or of the highest;
    a resize may have overshot 1 or 255.
    """
    if array.dtype == np.uint8:
        return array
    array = np.nan_to_num(array.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    highest = array.max(initial=0)
    white = 1 if highest < 2 else 255 if highest < 512 else max(65535, highest)
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
    return _check_size(Image.fromarray(np.ascontiguousarray(_to_uint8(array))), "The array")


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

    Accepts paths, URLs, bytes, PIL pictures, and arrays or tensors of shape (H, W), (H, W, C) or (C, H, W), alone, in a
    list or as a batch of four dimensions; returns `pixel_values`, float32, (N, 1, S, S).
    """

    valid_kwargs = DigitImageProcessorKwargs
    size = {"height": 128, "width": 128}
    frame_size = 28
    resample = PILImageResampling.BILINEAR
    rescale_factor = 1 / 255

    def _prepare_images_structure(self, images, expected_ndims: int = 3) -> list:
        # transformers' own drops transparency and takes no grey (H, W) array
        images = [images] if is_one_picture(images) else list(images)
        return [image if hasattr(image, "shape") else open_image(image, self.draft_side) for image in images]

    @property
    def draft_side(self) -> int:
        """How many pixels the longer side of a JPEG must keep for its page to lose nothing."""
        return SHRINK_UP_TO * max(self.size["height"], self.size["width"])

    def process_image(self, image: Image.Image | np.ndarray | torch.Tensor, **kwargs) -> Image.Image:
        try:
            return flatten(image if isinstance(image, Image.Image) else _array_to_image(_to_array(image)))
        except UnreadableImageError:
            raise
        except DAMAGE as error:
            raise UnreadableImageError(_damaged("The picture", error)) from None

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
            images = [self.fit(image, (size.height, size.width), resample) for image in images]
        pages = [np.asarray(image, dtype=np.float32)[None] * np.float32(rescale_factor) for image in images]
        return BatchFeature({"pixel_values": pages}, tensor_type=return_tensors)

    @staticmethod
    def _is_frame(image: Image.Image, frame_size: int) -> bool:
        if image.size != (frame_size, frame_size) or _border(image).mean() >= 32:
            return False  # a handful of MNIST's digits touch the border, none lines it
        is_ink = np.asarray(image) >= 32
        sides = (np.trim_zeros(is_ink.any(axis)).size for axis in (0, 1))
        return max(sides) >= frame_size // 2  # and none is smaller: that is a page

    def fit(
        self, image: Image.Image, shape: tuple[int, int], resample: PILImageResampling | None = None
    ) -> Image.Image:
        """A grey picture in the middle of a page of this height and width, as large as it can be there."""
        height, width = shape
        scale = min(width / image.width, height / image.height)
        fitted = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(fitted, resample or self.resample, reducing_gap=SHRINK_UP_TO)
        page = Image.new("L", (width, height), int(np.median(_border(image))))
        page.paste(image, ((width - fitted[0]) // 2, (height - fitted[1]) // 2))
        return page


def _to_array(image: np.ndarray | torch.Tensor) -> np.ndarray:
    if isinstance(image, torch.Tensor):
        image = image.detach().cpu()
        image = image.float() if image.is_floating_point() else image  # numpy has no bfloat16
    return np.asarray(image)


def _border(image: Image.Image) -> np.ndarray:
    pixels = np.asarray(image)
    return np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
