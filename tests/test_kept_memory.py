"""glibc keeps freed memory, which it doesn't by default."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

import cli

MEASURED = """
import resource, sys, torch
from minmax.kept_memory import keep_freed_memory

def batch(mebibytes):
    maps = [torch.ones(mebibytes * 2**18) for _ in range(4)]

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

if sys.argv[1] == "kept":
    keep_freed_memory()
torch.set_num_threads(1)
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
    by_default, kept = (
        int(subprocess.check_output([sys.executable, "-c", MEASURED, name], cwd=folder))
        for name in ("default", "kept")
    )
    assert kept < 100
    assert by_default > 20 * 1000
