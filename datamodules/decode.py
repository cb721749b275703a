"""Encoded images of any common kind to uint8 tensors of one size."""

import os
import re
import warnings
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Literal, get_args

import numpy
import torch
from PIL import Image, ImageColor, ImageOps
from torch import Tensor

from datamodules.budget import Budget
from datamodules.images import fill
from datamodules.kinds import FORMATS
from datamodules.names import few, printable, short
from datamodules.sources import Encoded, Pixels, Source
from datamodules.texts import without_texts
from minmax.errors import UserError, passes_through

MOST_PIXELS = 2**26
"""Limit of an image decoded whole; large JPEG files are decoded at a fraction of their size."""
IN_FLIGHT = Budget(2**25)
"""Pixels that all threads decode at a time (half a gigabyte). A larger image is decoded alone."""

Crop = Literal["centre", "pad", "none"]
CROPS = get_args(Crop)

_GROUP = 32
_NAMED = 20
_IN_MEMORY = re.compile("<_io.BytesIO object at 0x[0-9a-f]+>")


class BrokenFilesError(UserError):
    """Files that can't be read, all in one message.

    Args:
        files: what is wrong with each file, by name.
    """

    def __init__(self, files: dict[str, str]) -> None:
        self.files = files
        named = few([f"{short(path)} {short(reason)}" for path, reason in files.items()], _NAMED)
        one = len(files) == 1
        super().__init__(
            f"{'Image file' if one else f'{len(files):,} image files:'} {named}:"
            f" {'delete the file, or save it' if one else 'delete the files, or save them'} again"
            " as an 8-bit RGB or grayscale PNG or JPEG of at most"
            f" {MOST_PIXELS // 10**6} megapixels."
        )


def decode_files(
    source: Source,
    size: int,
    channels: int,
    background: str,
    description: str,
    crop: Crop = "centre",
) -> Tensor:
    """Decode all images of a source on several threads, with a progress bar.

    Args:
        source: the images.
        size: height and width of the result in pixels.
        channels: 1 (ITU-R 601 luma) or 3.
        background: colour name or #rrggbb behind transparent pixels.
        description: text before the progress bar.
        crop: as for `decode`.

    Returns:
        uint8 `[len(source), channels, size, size]`.

    Raises:
        BrokenFilesError: images can't be read; all are tried first.
        UserError: `crop` is none, and an image has another size.
    """
    broken: dict[int, str] = {}

    def decode_group(group: range) -> Pixels:
        pixels = numpy.zeros((len(group), size, size, channels), dtype=numpy.uint8)
        for number, index in enumerate(group):
            try:
                pixels[number] = decode(source.read(index), size, channels, background, crop)
            except OtherSizeError as error:
                raise UserError(
                    f"`crop` is none, but {printable(source.name(index))} {error}: give `crop`"
                    " centre or pad, or images of one size."
                ) from error
            except (UnreadableError, OSError) as error:
                broken[index] = str(error)
        return pixels

    def convert(chunk: range) -> Tensor:
        # Groups: one task per file would cost as much as decoding a small image.
        groups = [chunk[start : start + _GROUP] for start in range(0, len(chunk), _GROUP)]
        pixels = numpy.concatenate(list(pool.map(decode_group, groups)))
        return torch.from_numpy(pixels).permute(0, 3, 1, 2)

    # Pillow decodes and resizes without the interpreter lock, so threads suffice.
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # `decode` has its own
        images = fill(range(len(source)), convert, channels, size, f"Decoding {description}")
    if broken:
        raise BrokenFilesError({source.name(index): broken[index] for index in sorted(broken)})
    return images


class UnreadableError(Exception):
    """An image can't be read; the text says why."""


class OtherSizeError(Exception):
    """An image has another size than it must have; the text says which."""


def decode(
    encoded: Encoded, size: int, channels: int, background: str, crop: Crop = "centre"
) -> Pixels:
    """Decode one image, upright, and bring it to its size.

    Of an animation it takes the first frame. 16-bit gray is scaled to 8 bits.

    Args:
        encoded: an image file's path, what such a file holds, or pixels.
        size: height and width of the result in pixels.
        channels: 1 (ITU-R 601 luma) or 3.
        background: colour name or #rrggbb behind transparent pixels, and beside a padded image.
        crop: `centre`: resize the short side to `size` and crop the centre; `pad`: resize the long
            side, and add background; `none`: the image has this size.

    Returns:
        uint8 `[size, size, channels]`.

    Raises:
        UnreadableError: it is broken, too large, or has 32-bit pixels of no fixed range.
        OtherSizeError: `crop` is none, and it has another size.
    """
    if not isinstance(encoded, str | bytes):
        image = _fitted(Image.fromarray(encoded), size, channels, background, crop)
        return numpy.asarray(image).reshape(size, size, channels)
    try:
        try:
            image = _read(encoded, size, channels, background, crop)
        except ValueError as error:
            if "MAX_TEXT" not in str(error):
                raise
            image = _read(without_texts(encoded), size, channels, background, crop)
    except OtherSizeError:
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableError(f"is too large ({error})") from error
    except Exception as error:  # Pillow's parsers raise nearly every type on broken files
        if not (isinstance(error, OSError | ValueError) or passes_through(error, ("PIL",))):
            raise
        reason = _IN_MEMORY.sub("it", str(error).replace(repr(encoded), "it"))
        raise UnreadableError(f"can't be read ({reason})") from error
    return numpy.asarray(image).reshape(size, size, channels)


def _read(
    encoded: str | bytes, size: int, channels: int, background: str, crop: Crop
) -> Image.Image:
    source = BytesIO(encoded) if isinstance(encoded, bytes) else encoded
    with Image.open(source, formats=FORMATS) as file:
        whole = file.width * file.height
        # Large JPEGs are decoded at a half, quarter or eighth, still twice the final size.
        if crop != "none":
            file.draft(None, (2 * size, 2 * size))
        pixels = whole if file.info.get("progressive") else file.width * file.height
        if pixels > MOST_PIXELS:
            raise Image.DecompressionBombError(f"{pixels:,} pixels")
        with IN_FLIGHT.take(pixels):
            ImageOps.exif_transpose(file, in_place=True)
            image = _fitted(file, size, channels, background, crop)
            return image.copy() if image is file else image


def _fitted(
    image: Image.Image, size: int, channels: int, background: str, crop: Crop
) -> Image.Image:
    """An image of the right mode and size."""
    image = flatten(image, background)
    mode = "L" if channels == 1 else "RGB"
    image = image if image.mode == mode else image.convert(mode)
    if image.size == (size, size):
        return image
    if crop == "none":
        raise OtherSizeError(f"has {image.width}x{image.height} pixels, not {size}x{size}")
    if crop == "pad":
        colour = ImageColor.getcolor(background, mode)
        return ImageOps.pad(image, (size, size), Image.Resampling.BILINEAR, colour)
    return ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)


def flatten(image: Image.Image, background: str) -> Image.Image:
    """Return an 8-bit image without transparency (mode L, RGB, or one Pillow converts well)."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        levels = numpy.asarray(image)
        if levels.min() < 0 or levels.max() > 65535:
            raise ValueError("32-bit pixels beyond 0 to 65535")
        # Pillow's own conversion clips at 255, which makes such images all white.
        return Image.fromarray(((levels.astype(numpy.uint32) + 128) // 257).astype(numpy.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels, whose range is unknown")
    if image.has_transparency_data:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, background), image)
    return image
