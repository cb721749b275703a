"""Has glibc keep freed memory for the next batch, and not return it to the system.

By default glibc maps a large tensor's memory separately and returns it as soon as it is freed. The
system then zeroes and maps it again, page by page, when the next batch touches it.

Measured: DCGAN-32 in float32 on a CPU trains at 1,556 images/s with the call and at 1,497 without
it (`minmax/benchmarks/README.md`, "Kept memory"). The only cost: the process keeps the most memory
that it ever needed. `tests/test_kept_memory.py` counts the page faults, and fails when the default
has become as good.
"""

import ctypes
import platform

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""`mallopt`'s names, from glibc's malloc.h."""
NEVER = 2**31 - 1
LARGEST = 32 * 2**20
"""Bytes: glibc accepts no more. Larger blocks are still mapped separately."""


def keep_freed_memory() -> None:
    """Change glibc's settings for this process; without glibc, do nothing."""
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_TRIM_THRESHOLD, NEVER)
        libc.mallopt(M_MMAP_THRESHOLD, LARGEST)
