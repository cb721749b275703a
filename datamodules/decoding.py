"""Decoding all images of a source into memory."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy
import torch
from torch import Tensor

from datamodules.decode import BrokenFilesError, Decoding, decoded, own_limit
from datamodules.images import fill
from datamodules.sources import Pixels, Source

_GROUP = 32

Read = TypeVar("Read")


def decode_files(source: Source, decoding: Decoding, description: str) -> Tensor:
    """Decode all images of a source on several threads, with a progress bar.

    Args:
        source: the images.
        decoding: what they become.
        description: text before the progress bar.

    Returns:
        uint8 `[len(source), C, H, W]`.

    Raises:
        BrokenFilesError: images can't be read; all are tried first.
    """
    broken: dict[int, str] = {}

    def decode_group(group: range) -> Pixels:
        pixels, errors = decoded(source, decoding, group)
        broken.update(errors)
        return pixels

    def convert(chunk: range) -> Tensor:
        # Groups: one task per file would cost as much as decoding a small image.
        groups = [chunk[start : start + _GROUP] for start in range(0, len(chunk), _GROUP)]
        pixels = numpy.concatenate(list(pool.map(decode_group, groups)))
        return torch.from_numpy(pixels).permute(0, 3, 1, 2)

    # Pillow decodes and resizes without the interpreter lock, so threads suffice.
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool, own_limit():
        images = fill(
            range(len(source)),
            convert,
            decoding.channels,
            decoding.size,
            f"Decoding {description}",
        )
    if broken:
        raise BrokenFilesError({source.name(index): broken[index] for index in sorted(broken)})
    return images


def naming_all(read: Callable[[bool], Read], train: bool) -> Read:
    """Read a split; if images are broken, look at the other split too.

    Raises:
        BrokenFilesError: images can't be read; it names those of both splits.
    """
    try:
        return read(train)
    except BrokenFilesError as broken:
        try:
            read(not train)
        except BrokenFilesError as others:
            raise BrokenFilesError(broken.files | others.files) from None
        raise
