"""Files mapped into memory: pages are read when they are used, and shared by all processes."""

import mmap
import sys

import numpy
import torch
from torch import Tensor

from datamodules.chunks import PixelFile

NO_RESERVE = 0x4000
"""Linux's MAP_NORESERVE, which Python's mmap names from 3.13 on."""


def mapped(file: PixelFile) -> Tensor:
    """Map a file of pixels, uint8 `[N, C, H, W]`, channels last in memory.

    What is written to the tensor stays in this process. Nothing is reserved for that: a file may
    be larger than the memory.
    """
    with file.path.open("rb") as stream:
        if sys.platform == "linux":
            flags, access = mmap.MAP_PRIVATE | NO_RESERVE, mmap.PROT_READ | mmap.PROT_WRITE
            memory = mmap.mmap(stream.fileno(), file.bytes, flags, access)
        else:
            memory = mmap.mmap(stream.fileno(), file.bytes, access=mmap.ACCESS_COPY)
    pixels = numpy.frombuffer(memory, numpy.uint8, offset=len(file.header)).reshape(file.shape)
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)
