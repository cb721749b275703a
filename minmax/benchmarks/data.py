"""Times what docs/data.md says of data: `python -m minmax.benchmarks.data --help`."""

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import chain, repeat
from pathlib import Path

import numpy
import torch
from PIL import Image

from datamodules import ImageFolder
from datamodules.base import ImageDataModule
from datamodules.chunks import PixelFile
from datamodules.loader import EpochShuffle, ResidentLoader
from datamodules.mapping import mapped
from datamodules.prefetching import PrefetchingLoader
from datamodules.windows import WindowShuffle

A_FOLDER = 1000
SMALL, SIDE = 12, 96
WAYS = ("memory", "windows", "whole")


def make_files(root: Path, count: int) -> None:
    """Make JPEG files of 96x96 smooth colour noise, 4 kB each, a thousand in a folder."""
    random = numpy.random.default_rng(0)
    for number in range(count):
        if number % A_FOLDER == 0:
            folder = root / f"{number // A_FOLDER:04}"
            folder.mkdir(parents=True, exist_ok=True)
        noise = random.integers(0, 256, (SMALL, SMALL, 3), dtype=numpy.uint8)
        image = Image.fromarray(noise).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        image.save(folder / f"{number:07}.jpg", quality=90)


def time_start(root: Path, size: int) -> str:
    """Seconds of listing, of the key, and of what maps the set or makes it.

    Each as passed, and as used by all processes, which says more on a busy machine.
    """
    marks = [clocks()]
    data = ImageFolder(str(root), image_size=size)
    marks.append(clocks())
    for train in (True, False):
        wanted = data.wanted(train)
        assert wanted is not None
        assert wanted.key
    marks.append(clocks())
    for train in (True, False):
        data.split(train)
    marks.append(clocks())
    count = len(data.train_files) + len(data.val_files)
    names = ("listing", "key", "key and both splits")
    times = zip(names, numpy.diff(marks, axis=0), strict=True)
    return f"{count:,} files: " + ", ".join(
        f"{name} {passed:.2f} s (CPU {used:.2f} s, {count / used:,.0f} files a CPU second)"
        for name, (passed, used) in times
    )


def clocks() -> tuple[float, float]:
    """Seconds that have passed, and that all cores have worked for this process and its own."""
    used = os.times()
    return time.perf_counter(), sum(used[:4])


def use(root: Path, size: int, kept: bool) -> None:
    """Visit each image once, wait for a line of input, and print the share of the memory."""
    data = ImageFolder(str(root), image_size=size, val_fraction=0)
    if not kept:
        data.source = lambda train: None  # type: ignore[method-assign,assignment,return-value]
        data.load = lambda train: loaded  # type: ignore[method-assign]
        loaded = ImageDataModule.read(ImageFolder(str(root), size, val_fraction=0), True)
        loaded = loaded[0].clone(), loaded[1]
    for _ in data.val_dataloader():
        pass
    print("ready", flush=True)
    sys.stdin.readline()
    rollup = Path("/proc/self/smaps_rollup").read_text()
    own = re.search(r"Pss_Anon: *(\d+)", rollup)
    of_set = re.search(r"/images\.npy\n(?:.*\n)*?Pss: *(\d+)", Path("/proc/self/smaps").read_text())
    assert own is not None
    share = int(of_set[1]) / 1024 if of_set else 0
    print(
        f"own memory {int(own[1]) / 1024:,.0f} MiB, share of the file {share:,.0f} MiB", flush=True
    )
    sys.stdin.read()  # another process may not have looked yet


def memory(root: Path, size: int) -> Iterator[str]:
    """Memory of one and of two processes that use a set, mapped or copied."""
    for kept in (True, False):
        for ranks in (1, 2):
            command = [sys.executable, "-m", __spec__.name, "use", str(root), str(size), str(kept)]
            pipe = subprocess.PIPE
            started = [
                subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(ranks)
            ]
            for process in started:
                assert process.stdout is not None
                process.stdout.readline()
            shown = []
            for process in started:
                assert process.stdin is not None
                process.stdin.write("\n")
                process.stdin.flush()
                assert process.stdout is not None
                shown.append(process.stdout.readline().strip())
            for process in started:
                process.communicate()
            yield f"{'mapped' if kept else 'in memory'}, {ranks} rank(s): {'; '.join(shown)}"


def limited(megabytes: int) -> None:
    """Put this process into a cgroup of so much memory, page cache included (root, Linux)."""
    first, second = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    home, name = (first, "memory.limit_in_bytes") if first.is_dir() else (second, "memory.max")
    group = home / "minmax-data"
    group.mkdir(exist_ok=True)
    (group / name).write_text(str(megabytes * 2**20))
    (group / "cgroup.procs").write_text(str(os.getpid()))


def forget(file: Path) -> None:
    """Have the system forget a file's pages."""
    with file.open("rb") as stream:
        os.fsync(stream.fileno())
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def rate(path: Path, size: int, way: str, window_gb: float, batches: int, pause: float) -> str:
    """Images per second of a file of pixels; the training's step is a pause.

    Args:
        path: of a `.npy` file of pixels.
        size: side of its images.
        way: one of `WAYS`.
        window_gb: of the order in windows.
        batches: of 64 images, to be timed after half as many others.
        pause: seconds of a step.
    """
    forget(path)
    count = path.stat().st_size // (size * size * 3)
    file = PixelFile(path, (count, size, size, 3))
    images, labels = mapped(file), torch.zeros(count, dtype=torch.int64)
    loader: ResidentLoader
    if way == "memory":
        held = images[: 64 * 100].clone()
        loader = ResidentLoader(held, labels, 64, EpochShuffle(len(held), 64))
    else:
        order = EpochShuffle(count, 64)
        if way == "windows":
            order = WindowShuffle(count, file.image_bytes, int(window_gb * 1e9), 64)
        loader = PrefetchingLoader(file, images, labels, 64, order)
    endless = chain.from_iterable(repeat(loader))
    for number, _ in zip(range(batches * 3 // 2 + 1), endless, strict=False):
        if number == batches // 2:
            start = time.perf_counter()
        time.sleep(pause)
    speed = 64 * batches / (time.perf_counter() - start)
    disk = ""
    if isinstance(loader, PrefetchingLoader) and loader.ahead is not None and loader.ahead.seconds:
        disk = f"; read ahead at {loader.ahead.bytes / loader.ahead.seconds / 1e6:,.0f} MB/s"
    return f"{way}: {speed:,.0f} images/s{disk}"


def main() -> None:
    """Run one of the measurements."""
    options = argparse.ArgumentParser(description=__doc__)
    kinds = options.add_subparsers(dest="kind", required=True)
    for kind in ("files", "start", "memory", "use", "rate"):
        parser = kinds.add_parser(kind)
        parser.add_argument("path", type=Path)
        if kind == "files":
            parser.add_argument("count", type=int)
        else:
            parser.add_argument("size", type=int)
        if kind == "use":
            parser.add_argument("kept")
        if kind == "rate":
            parser.add_argument("ways", choices=WAYS, nargs="+")
            parser.add_argument("--window-gb", type=float, default=0.25)
            parser.add_argument("--limit-mb", type=int, default=0)
            parser.add_argument("--batches", type=int, default=2000)
            parser.add_argument("--pause", type=float, default=0)
    chosen = options.parse_args()
    if chosen.kind == "files":
        make_files(chosen.path, chosen.count)
    elif chosen.kind == "start":
        print(time_start(chosen.path, chosen.size))
    elif chosen.kind == "use":
        use(chosen.path, chosen.size, chosen.kept == "True")
    elif chosen.kind == "memory":
        for line in memory(chosen.path, chosen.size):
            print(line)
    else:
        if chosen.limit_mb:
            limited(chosen.limit_mb)
        for way in chosen.ways:
            of_rate = way, chosen.window_gb, chosen.batches, chosen.pause
            print(rate(chosen.path, chosen.size, *of_rate), flush=True)


if __name__ == "__main__":
    main()
