"""Allocating, resizing and graying whole data sets of uint8 images."""

import contextlib
import math
import os
import tempfile
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.nn import functional

from datamodules.bars import bar_of
from minmax.errors import UserError
from minmax.image_sizes import Size, sides

_CHUNK = 512


def available_memory() -> int:
    """Return the bytes of main memory that can be used without swapping."""
    try:
        with open("/proc/meminfo") as file:
            fields = dict(line.split(":", 1) for line in file)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):  # not Linux: the standard library can't tell
        return 8 << 30


def allocate(count: int, channels: int, size: Size) -> Tensor:
    """Return uninitialised uint8 `[count, channels, H, W]`, channels last in memory.

    It lies in memory if that takes at most half of what is available, else in a temporary file,
    which the system pages in and out, and which vanishes with the process.
    """
    shape = (count, *sides(size), channels)
    needed = math.prod(shape)
    if needed <= available_memory() / 2:
        return torch.empty(shape, dtype=torch.uint8).permute(0, 3, 1, 2)
    handle, path = tempfile.mkstemp(suffix=".images")
    try:
        if hasattr(os, "posix_fallocate"):  # else a full disk kills the process later
            os.posix_fallocate(handle, 0, needed)
    except OSError as error:
        os.unlink(path)
        raise UserError(
            f"there is no room for {needed / 1e9:.3g} GB of images in {tempfile.gettempdir()} "
            f"({error.strerror}): set TMPDIR to a folder that has it"
        ) from error
    finally:
        os.close(handle)
    rank_zero_info(
        f"Images of {needed / 1e9:.3g} GB exceed half of the available memory: kept in a temporary"
        f" file in {tempfile.gettempdir()} (set TMPDIR for another place)."
    )
    pixels = torch.from_file(path, shared=True, size=needed, dtype=torch.uint8)
    with contextlib.suppress(OSError):  # Windows can't delete a file that is open
        os.unlink(path)
    return pixels.view(shape).permute(0, 3, 1, 2)


def fill(
    items: Any,
    convert: Callable[[Any], Tensor],
    channels: int,
    size: Size,
    description: str,
) -> Tensor:
    """Convert `items` chunk by chunk into one tensor, with a progress bar if it takes a second.

    Args:
        items: anything that can be sliced: paths, or images `[N, ...]`.
        convert: makes uint8 `[n, channels, H, W]` from a slice of `n` items.
        channels: channels of the result.
        size: of the result in pixels.
        description: text before the progress bar.

    Returns:
        uint8 `[len(items), channels, H, W]`, channels last in memory.
    """
    images = allocate(len(items), channels, size)
    with bar_of(description, "image", len(items)) as bar:
        for start in range(0, len(items), _CHUNK):
            chunk = items[start : start + _CHUNK]
            images[start : start + len(chunk)] = convert(chunk)
            bar.update(len(chunk))
    return images


def to_grayscale(images: Tensor) -> Tensor:
    """Return the ITU-R 601 luma of uint8 `[N, 3, H, W]` as uint8 `[N, 1, H, W]`.

    It computes in integers, bit for bit as Pillow does. torchvision's weights sum to 0.9999, and
    its cast truncates, which turns white into 254.
    """
    red, green, blue = images.to(torch.int32).unbind(1)
    luma = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) // 65536
    return luma.to(torch.uint8).unsqueeze(1)


def antialiased(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize uint8 `[N, C, H, W]` to (height, width), bilinearly; on the CPU, since GPUs can't."""
    resized = functional.interpolate(images.cpu(), size, mode="bilinear", antialias=True)
    return resized.to(images.device)


def resize(images: Tensor, size: Size) -> Tensor:
    """Resize uint8 `[N, C, H, W]` until it just covers `size` (antialiased) and crop the centre."""
    (height, width), (high, wide) = images.shape[-2:], sides(size)
    scale = max(high / height, wide / width)
    if scale != 1:
        height, width = max(high, round(height * scale)), max(wide, round(width * scale))
        images = antialiased(images, (height, width))
    top, left = (height - high) // 2, (width - wide) // 2
    return images[..., top : top + high, left : left + wide]


def conform(images: Tensor, channels: int, size: Size, description: str) -> Tensor:
    """Bring uint8 `[N, C, H, W]` to `channels` and `size` (gray to colour by repeating)."""
    if tuple(images.shape[1:]) == (channels, *sides(size)):
        return images

    def convert(chunk: Tensor) -> Tensor:
        if chunk.shape[1] > channels:
            chunk = to_grayscale(chunk)
        return resize(chunk, size).expand(-1, channels, -1, -1)

    return fill(images, convert, channels, size, description)
