"""Image files of any common kind to uint8 tensors of one size."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy
import torch
from PIL import Image, ImageOps
from torch import Tensor

from datamodules.images import fill

Pixels = numpy.ndarray[Any, numpy.dtype[numpy.uint8]]

_GROUP = 32
_ADVICE = "delete the file, or save it again as an 8-bit RGB or grayscale PNG or JPEG"


def decode_files(
    paths: list[str], size: int, channels: int, background: str, description: str
) -> Tensor:
    """Decode files on several threads, with a progress bar.

    Args:
        paths: The files.
        size: Height and width of the result in pixels.
        channels: 1 (ITU-R 601 luma) or 3.
        background: Colour name or #rrggbb behind transparent pixels.
        description: Stands before the progress bar.

    Returns:
        uint8 `[len(paths), channels, size, size]`.

    Raises:
        ValueError: A file that can't be read, by name.
    """
    # Pillow decodes and resizes without the interpreter lock, so threads suffice.
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:

        def decode_group(group: list[str]) -> Pixels:
            return numpy.stack([decode(path, size, channels, background) for path in group])

        def convert(chunk: list[str]) -> Tensor:
            # Groups, because a task a file would cost as much as decoding a small image.
            groups = [chunk[start : start + _GROUP] for start in range(0, len(chunk), _GROUP)]
            pixels = numpy.concatenate(list(pool.map(decode_group, groups)))
            return torch.from_numpy(pixels).permute(0, 3, 1, 2)

        return fill(paths, convert, channels, size, f"Decoding {description}")


def decode(path: str, size: int, channels: int, background: str) -> Pixels:
    """Read one file, upright; resize its short side to `size` and crop the centre.

    Of an animation it takes the first frame. 16-bit gray is scaled to 8 bits.

    Returns:
        uint8 `[size, size, channels]`.

    Raises:
        ValueError: Broken, too large, or of a kind with no fixed range (32 bits a pixel).
    """
    try:
        with Image.open(path) as file:
            # Large JPEGs are decoded at a half, quarter or eighth, still twice the final size.
            file.draft(None, (2 * size, 2 * size))
            image = flatten(ImageOps.exif_transpose(file), background)
        image = image.convert("L" if channels == 1 else "RGB")
        if image.size != (size, size):
            image = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    except Image.DecompressionBombError as error:
        raise ValueError(
            f"Image file {path} is too large ({error}): shrink it, or delete the file."
        ) from error
    except Exception as error:  # Pillow's parsers raise nearly every type on broken files
        raise ValueError(f"Image file {path} can't be read ({error}): {_ADVICE}.") from error
    return numpy.asarray(image).reshape(size, size, channels)


def flatten(image: Image.Image, background: str) -> Image.Image:
    """Return an 8-bit image without transparency (mode L, RGB, or one Pillow converts well)."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        levels = numpy.asarray(image).astype(numpy.int64)
        if levels.min() < 0 or levels.max() > 65535:
            raise ValueError("32-bit pixels beyond 0 to 65535")
        # Pillow's own conversion clips at 255, which makes such images all white.
        return Image.fromarray(((levels + 128) // 257).astype(numpy.uint8))
    if image.mode == "F":
        raise ValueError("floating-point pixels, whose range is unknown")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, background), image)
    return image
