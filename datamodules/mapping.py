"""Files mapped into memory: pages are read when they are used, and shared by all processes."""

import ctypes
import mmap
import os
import sys
from contextlib import suppress
from pathlib import Path

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


def memory_limit() -> int:
    """Bytes of memory that this process and the cached files may take: the machine's or a job's."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text().splitlines():
            _, kinds, path = line.split(":", 2)
            with suppress(OSError, ValueError):
                if not kinds:  # cgroup v2
                    limits.append(int(Path(f"/sys/fs/cgroup{path}/memory.max").read_text()))
                elif kinds == "memory":
                    file = Path(f"/sys/fs/cgroup/memory{path}/memory.limit_in_bytes")
                    limits.append(int(file.read_text()))
    return min(limits)


def let_go(file: PixelFile, pixels: Tensor, images: range, descriptor: int) -> None:
    """Have the system drop the pages of some images from memory before those of others.

    Linux would keep them for longer than pages that were read ahead and not used yet.

    Args:
        file: that is mapped.
        pixels: uint8 `[N, H, W, C]`, the mapped file.
        images: their indices.
        descriptor: of the open file.
    """
    if sys.platform != "linux":
        return
    start, length = images.start * file.image_bytes, len(images) * file.image_bytes
    address = pixels.data_ptr() + start
    before = address % mmap.PAGESIZE
    libc = ctypes.CDLL(None)
    libc.madvise(
        ctypes.c_void_p(address - before), ctypes.c_size_t(length + before), mmap.MADV_DONTNEED
    )
    os.posix_fadvise(descriptor, len(file.header) + start, length, os.POSIX_FADV_DONTNEED)
