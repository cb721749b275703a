"""glibc keeps freed memory, which it doesn't by default."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

import cli

MEASURED = """
import resource, sys
import numpy as np
from minmax.kept_memory import keep_freed_memory

def batch(mebibytes):
    maps = [np.ones(mebibytes * 2**17) for _ in range(4)]

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

if sys.argv[1] == "kept":
    keep_freed_memory()
for number in range(25):
    if number == 5:
        before = faults()
    batch(4), batch(8)
print(faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc")
def test_freed_memory_is_mapped_anew_by_default_alone() -> None:
    """Page faults of 20 batches of 48 MiB; if it fails, `minmax/kept_memory.py` isn't needed."""
    folder = Path(cli.__file__).parent

    def faults(name: str) -> int:
        """In a process of its own."""
        return int(subprocess.check_output([sys.executable, "-c", MEASURED, name], cwd=folder))

    assert faults("kept") < 100
    # By chance something may lie at the heap's end, and then nothing below it is given back.
    assert any(faults("default") > 20 * 1000 for _ in range(4))
