"""Encoded images of any common kind to uint8 pixels of one size.

It imports neither torch nor Lightning, which take seconds: each process that decodes imports it.
"""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Literal, get_args

import numpy
from PIL import ExifTags, Image, ImageColor, ImageOps

from datamodules.budget import Budget
from datamodules.kinds import FORMATS
from datamodules.names import few, short
from datamodules.sources import Encoded, Pixels, Source
from datamodules.texts import without_texts
from minmax.errors import UserError, passes_through
from minmax.image_sizes import Size, shown, sides

MOST_PIXELS = 2**26
"""Limit of an image decoded whole; large JPEG files are decoded at a fraction of their size."""
IN_FLIGHT = Budget(2**25)
"""Pixels that all threads decode at a time (half a gigabyte). A larger image is decoded alone."""

Crop = Literal["centre", "pad", "none"]
CROPS = get_args(Crop)

_NAMED = 20
_NONE = ", and `crop` is none"
_IN_MEMORY = re.compile("<_io.BytesIO object at 0x[0-9a-f]+>")


class BrokenFilesError(UserError):
    """Files that can't be read, all in one message.

    Args:
        files: what is wrong with each file, by name.
    """

    def __init__(self, files: dict[str, str]) -> None:
        self.files = files
        one, reasons = len(files) == 1, {*files.values()}
        if len(reasons) == 1:
            named = f"{few([short(path) for path in files], _NAMED)} {few([short(reasons.pop())])}"
        else:
            named = few([f"{short(path)} {short(why)}" for path, why in files.items()], _NAMED)
        if odd := [path for path, reason in files.items() if reason.endswith(_NONE)]:
            others = f" (and {len(odd) - 1:,} more)" if len(odd) > 1 else ""
            super().__init__(
                f"{few(odd[:1])} {files[odd[0]]}{others}: give `crop` centre or pad, or images of"
                " one size."
            )
            return
        super().__init__(
            f"{'Image file' if one else f'{len(files):,} image files:'} {named}:"
            f" {'delete the file, or save it' if one else 'delete the files, or save them'} again"
            " as an 8-bit RGB or grayscale PNG or JPEG of at most"
            f" {MOST_PIXELS // 10**6} megapixels."
        )


class UnreadableError(Exception):
    """An image can't be read; the text says why."""


@dataclass(frozen=True)
class Decoding:
    """What all images of a data set are decoded to: a prepared set is found by these values.

    Args:
        size: of the result in pixels.
        channels: 1 (ITU-R 601 luma) or 3.
        background: colour name or #rrggbb behind transparent pixels, and beside a padded image.
        crop: `centre`: resize until the image covers `size` and crop the centre; `pad`: resize
            until it fits in, and add background; `none`: the image has this size.
    """

    size: Size
    channels: int
    background: str = "white"
    crop: Crop = "centre"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of an image: height, width, channels."""
        return *sides(self.size), self.channels

    def __call__(self, encoded: Encoded) -> Pixels:
        """Decode one image, upright, and bring it to its size: uint8 of this shape.

        Of an animation it takes the first frame. 16-bit gray is scaled to 8 bits.

        Args:
            encoded: an image file's path, what such a file holds, or pixels.

        Raises:
            UnreadableError: it is broken, too large, has 32-bit pixels of no fixed range, or has
                another size though `crop` is none.
        """
        if not isinstance(encoded, str | bytes):
            return self._pixels(self._fitted(Image.fromarray(encoded)))
        try:
            try:
                return self._pixels(self._read(encoded))
            except ValueError as error:
                if "MAX_TEXT" not in str(error):
                    raise
                return self._pixels(self._read(without_texts(encoded)))
        except Image.DecompressionBombError as error:
            raise UnreadableError(f"is too large ({error})") from error
        except Exception as error:  # Pillow's parsers raise nearly every type on broken files
            if not (isinstance(error, OSError | ValueError) or passes_through(error, ("PIL",))):
                raise
            reason = _IN_MEMORY.sub("it", str(error).replace(repr(encoded), "it"))
            raise UnreadableError(f"can't be read ({reason})") from error

    def _read(self, encoded: str | bytes) -> Image.Image:
        source = BytesIO(encoded) if isinstance(encoded, bytes) else encoded
        with Image.open(source, formats=FORMATS) as file:
            whole = file.width * file.height
            # Large JPEGs are decoded at a half, quarter or eighth, still twice the final size.
            if self.crop != "none":
                stored = sides(self.size)
                if file.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8):  # on its side
                    stored = stored[::-1]
                file.draft(None, (2 * stored[1], 2 * stored[0]))
            pixels = whole if file.info.get("progressive") else file.width * file.height
            if pixels > MOST_PIXELS:
                raise Image.DecompressionBombError(f"{pixels:,} pixels")
            with IN_FLIGHT.take(pixels):
                ImageOps.exif_transpose(file, in_place=True)
                image = self._fitted(file)
                return image.copy() if image is file else image

    def _fitted(self, image: Image.Image) -> Image.Image:
        """An image of the right mode and size."""
        image = flatten(image, self.background)
        mode = "L" if self.channels == 1 else "RGB"
        image = image if image.mode == mode else image.convert(mode)
        height, width = sides(self.size)
        if image.size == (width, height):
            return image
        if self.crop == "none":
            raise UnreadableError(
                f"has {image.height}x{image.width} pixels (height x width), not "
                f"{shown(self.size)}{_NONE}"
            )
        if self.crop == "pad":
            colour = ImageColor.getcolor(self.background, mode)
            return ImageOps.pad(image, (width, height), Image.Resampling.BILINEAR, colour)
        return ImageOps.fit(image, (width, height), Image.Resampling.BILINEAR)

    def _pixels(self, image: Image.Image) -> Pixels:
        return numpy.asarray(image).reshape(self.shape)


def decoded(source: Source, decoding: Decoding, images: range) -> tuple[Pixels, dict[int, str]]:
    """Decode some images of a source.

    Returns:
        Their pixels uint8 `[N, H, W, C]`, and what is wrong with those that can't be read, by
        index. These are black.
    """
    pixels, broken = numpy.zeros((len(images), *decoding.shape), dtype=numpy.uint8), {}
    for place, index in enumerate(images):
        try:
            pixels[place] = decoding(source.read(index))
        except (UnreadableError, OSError) as error:
            broken[index] = str(error)
    return pixels, broken


@contextmanager
def own_limit() -> Iterator[None]:
    """Silence Pillow's warning of large images: `Decoding` has a limit of its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def flatten(image: Image.Image, background: str) -> Image.Image:
    """Return an 8-bit image without transparency (mode L, RGB, or one Pillow converts well)."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        levels = numpy.asarray(image)
        if levels.min() < 0 or levels.max() > 65535:
            raise ValueError("32-bit pixels beyond 0 to 65535")
        # Pillow's own conversion clips at 255, which makes such images all white.
        transparent = image.info.get("transparency")
        image = Image.fromarray(((levels.astype(numpy.uint32) + 128) // 257).astype(numpy.uint8))
        if transparent is not None:
            image.putalpha(Image.fromarray(levels != transparent).convert("L"))
    if image.mode == "F":
        raise ValueError("floating-point pixels, whose range is unknown")
    if image.has_transparency_data:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, background), image)
    return image
