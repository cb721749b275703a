"""Trains and scores the runs of a study one after the other, each in its own process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from statistics import mean

from minmax.errors import UserError
from minmax.files import whole
from minmax.lock import NAME, InOtherHandsError, Lock, locked
from minmax.reporting.groups import FAILED
from minmax.studying.runs import Run, kept_arguments

CLI = Path(__file__).parents[2] / "cli.py"
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
STOPS = {128 + number for number in SIGNALS} | {-number for number in SIGNALS}
KEPT = 2000
"""Characters that are kept of a run's error output."""


def train(folder: Path, runs: Sequence[Run], wanted: Sequence[Run], retry: bool) -> None:
    """Train and score the wanted runs, except those that are done or locked by another process.

    Raises:
        UserError: the folder now belongs to a study with other options; or the first is refused.
    """
    seconds: list[float] = []
    over = ("done",) if retry else ("done", "failed")
    for number, run in enumerate(runs, start=1):
        if run not in wanted or run.state in over:
            continue
        name = f"\n[{number}/{len(runs)}] {run}"
        try:
            with locked(run.lock) as lock:
                if run.state in over:  # by another process, meanwhile
                    continue
                refuse_another_plan(folder, run)
                left = sum(other.state in ("begun", "waiting") for other in wanted)
                time_left = ""
                if seconds:
                    time_left = f", about {timedelta(seconds=round(mean(seconds) * left))}"
                print(f"{name}; {left} left{time_left}", flush=True)
                start = time.perf_counter()
                alone = not any(other.state in ("begun", "done") for other in runs)
                carry_out(run, lock, alone)
                seconds.append(time.perf_counter() - start)
        except InOtherHandsError as error:
            print(f"{name} is passed over: {error.owner} works on it", flush=True)


def refuse_another_plan(folder: Path, run: Run) -> None:
    """Refuse a run whose options in the study's folder have changed meanwhile.

    The caller holds the run's lock, so `keep_plan` of other processes can't change them afterwards.
    """
    with locked(folder / NAME, wait=True):
        if kept_arguments(folder).get(str(run)) != list(run.arguments):
            raise UserError(
                f"another study with other options has begun in --folder {folder}: choose another "
                "folder"
            )


def carry_out(run: Run, lock: Lock, alone: bool) -> None:
    """Train, then score; keep the error of a failed run, and exit if the run is stopped.

    Args:
        run: to train.
        lock: on it, which is held.
        alone: whether no other run of the study has begun.

    Raises:
        UserError: it is refused before it begins, and alone: its options are wrong, most likely.
    """
    (run.folder / FAILED).unlink(missing_ok=True)
    for command in (
        ["fit", *run.arguments, "--resume=true"],
        ["test", "--config", str(run.folder / "config.yaml")],
    ):
        code, words, heard = follow([sys.executable, str(CLI), *command], lock)
        if heard or code in STOPS:
            print(f"The study was stopped in {run}; the same command goes on.", flush=True)
            sys.exit(128 + (heard or abs(code) % 128))
        if code > 0 and alone and run.state == "waiting":
            raise UserError(
                f"the first training, {run}, was refused, and so would be the others: {words}"
            )
        if code:
            with whole(run.folder / FAILED) as part:
                part.write_text(f"{command[0]}: {words}\n")
            print(f"{run} has failed; the study goes on. {words}", flush=True)
            return


def follow(command: Sequence[str], lock: Lock) -> tuple[int, str, int]:
    """Run a command and show its output.

    SIGTERM and SIGUSR1 are passed on to it (Ctrl+C reaches it anyway), to `test` as Ctrl+C, the
    only one that it ends at. It holds the lock too, since it goes on if this process is killed.

    Returns:
        Its exit code, the last line of its errors, and the signal that this process received
        meanwhile, or 0.
    """
    heard = 0

    def pass_on(number: int, _: object) -> None:
        nonlocal heard
        heard = number
        if number != signal.SIGINT:
            process.send_signal(signal.SIGINT if "test" in command else number)

    with subprocess.Popen(command, stderr=subprocess.PIPE, **lock.handed_on()) as process:
        lock.note(process.pid)
        before = {number: signal.signal(number, pass_on) for number in SIGNALS}
        try:
            assert process.stderr is not None
            kept = b""
            while part := process.stderr.read1():  # type: ignore[attr-defined]
                os.write(2, part)
                kept = (kept + part)[-KEPT:]
            code = process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
    lines = kept.decode(errors="replace").strip().splitlines()
    if code < 0:
        return code, f"killed by signal {-code} ({signal.strsignal(-code)})", heard
    return code, lines[-1].strip() if lines else f"exit code {code}", heard
