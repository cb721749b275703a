"""Run all parts, or some, each in a process of its own with its share of the time.

    python -m minmax.gpu --output FOLDER --data-root data

A part writes its table as it goes, and may fail or run out of time without harm to the others.
FOLDER then holds `NAME.md` for each part, its output as `NAME.log`, and all else (figures as JSON,
pictures, curves) in `details.tar.gz`.
"""

import argparse
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

PARTS = {
    "tests": 100,
    "compare": 70,
    "replay": 50,
    "table": 80,
    "fit": 40,
    "profile": 30,
    "levers": 30,
    "train": 60,
}
"""The parts and their seconds, of 480 in all with what starting them takes."""
LEAST = 10.0
"""Seconds that a part has, even if no time is left."""
MODULES = {
    "compare": "comparing",
    "replay": "replaying",
    "table": "timing",
    "fit": "fitting",
    "profile": "profiling",
    "levers": "switching",
    "train": "training",
}
TESTS = ["tests/test_cuda.py", "-v", "--tb=short", "-p", "no:cacheprovider", "-W", "ignore"]
ROOT = Path(__file__).parents[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts; return the number of those that failed."""
    options = argparse.ArgumentParser(prog="python -m minmax.gpu", description=__doc__)
    options.add_argument("--output", type=Path, default=os.environ.get("OUT"), help="folder ($OUT)")
    options.add_argument("--only", default=",".join(PARTS), help="parts, with commas between")
    options.add_argument("--seconds", type=float, default=460, help="of all parts together (460)")
    options.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    options.add_argument("--data-root", default=os.environ.get("MINMAX_DATA"), help="of MNIST")
    options.add_argument("--images", default=os.environ.get("MINMAX_CIFAR"), help="of CIFAR-10")
    options.add_argument("--systems", default="", help="configs, with commas between; else all")
    given = options.parse_args(arguments)
    chosen = given.only.split(",")
    if given.output is None or (unknown := set(chosen) - PARTS.keys()):
        options.error("give --output" if given.output is None else f"no part {sorted(unknown)}")
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background
    given.output = Path(given.output)
    given.output.mkdir(parents=True, exist_ok=True)
    end, failed = time.monotonic() + given.seconds, 0
    with tempfile.TemporaryDirectory(prefix="minmax-gpu-") as details:
        for number, part in enumerate(chosen):
            # What earlier parts left over is shared out among the later ones.
            weight = PARTS[part] / sum(PARTS[later] for later in chosen[number:])
            seconds = (end - time.monotonic()) * weight
            failed += not run(part, command(part, given, seconds, Path(details)), seconds, given)
            with tarfile.open(given.output / "details.tar.gz", "w:gz") as tar:
                tar.add(details, "details", filter=without_checkpoints)
    return failed


def without_checkpoints(file: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """All files but checkpoints, which are large."""
    return None if file.name.endswith(".ckpt") else file


def command(part: str, given: argparse.Namespace, seconds: float, details: Path) -> list[str]:
    """The command line of a part."""
    if part == "tests":
        return [sys.executable, "-m", "pytest", *TESTS]
    line = [sys.executable, "-m", f"minmax.gpu.{MODULES[part]}", "--device", given.device]
    line += ["--table", str(given.output / f"{part}.md"), "--details", str(details / part)]
    line += ["--seconds", f"{max(5, seconds - 20):.0f}", "--systems", given.systems]
    for name in ("data_root", "images"):
        if getattr(given, name):
            line += [f"--{name.replace('_', '-')}", str(Path(getattr(given, name)).absolute())]
    return line


def run(part: str, line: Sequence[str], seconds: float, given: argparse.Namespace) -> bool:
    """Run a part; return whether it ended well."""
    log, start = given.output / f"{part}.log", time.monotonic()
    with log.open("w") as output:
        try:
            with subprocess.Popen(
                line,
                cwd=ROOT,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
                stdout=output,
                stderr=subprocess.STDOUT,
            ) as process:
                code = ended_by(process, max(LEAST, seconds))
            ended = "ended well" if code == 0 else f"failed with code {code}"
        except subprocess.TimeoutExpired:
            code, ended = -1, "was stopped, its time was over"
    print(f"{part} {ended} after {time.monotonic() - start:.0f} s", flush=True)
    table = given.output / f"{part}.md"
    shown = table if table.is_file() else log
    print("\n".join(shown.read_text(errors="replace").splitlines()[-60:]), flush=True)
    return code == 0


def ended_by(process: subprocess.Popen[bytes], seconds: float) -> int:
    """Wait for a process, and return its code; interrupt it when its time is over, then kill it.

    Raises:
        TimeoutExpired: its time was over.
    """
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)  # pytest then shows what has failed
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
        raise


if __name__ == "__main__":
    sys.exit(main())
