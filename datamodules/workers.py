"""Doing the chunks of a prepared set on all cores."""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from datamodules.chunks import Job, Made
from datamodules.decode import own_limit
from minmax.errors import UserError

WORTH_PROCESSES = 5_000
"""Images from which on processes are started, of a quarter of a second each. Threads start at once,
but with small images they wait for the interpreter lock."""
BOOT = """
import sys, types
sys.path[:] = {path!r}
import minmax
if {light}:
    package = types.ModuleType("datamodules")
    package.__path__ = [{folder!r}]
    sys.modules["datamodules"] = package
from datamodules.worker import main
main()
"""
"""The package's own `__init__` imports Lightning, for seconds."""

Result = TypeVar("Result")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def done(do: Callable[[int], Result], chunks: Sequence[int]) -> Iterator[tuple[int, Result]]:
    """Do something with some chunks, in threads; what it gives, as they are finished.

    Args:
        do: what is done; releases the interpreter lock, as reading and hashing do.
        chunks: their numbers.
    """
    if not chunks:
        return
    with ThreadPoolExecutor(min(cores(), len(chunks))) as pool, own_limit():
        waiting = {pool.submit(do, chunk): chunk for chunk in chunks}
        try:
            for finished in as_completed(waiting):
                yield waiting.pop(finished), finished.result()
        finally:
            pool.shutdown(cancel_futures=True)


def made(job: Job, chunks: Sequence[int]) -> Iterator[tuple[int, Made]]:
    """Make some chunks: each thread has them made by a process if that is worth its start."""
    count, own = min(cores(), len(chunks)), type(job.source).__module__
    if count < 2 or job.pixels.shape[0] < WORTH_PROCESSES or own == "__main__":
        yield from done(job.make, chunks)
        return
    with ExitStack() as started:
        idle: SimpleQueue[_Worker] = SimpleQueue()
        for _ in range(count):
            idle.put(started.enter_context(_Worker(job)))

        def make(chunk: int) -> Made:
            worker = idle.get()
            try:
                return worker.make(chunk)
            finally:
                idle.put(worker)

        yield from done(make, chunks)


class _Worker:
    """A process that decodes (`worker.py`)."""

    def __init__(self, job: Job) -> None:
        own = type(job.source).__module__.partition(".")[0] in ("builtins", "datamodules")
        folder = str(Path(__file__).parent)
        boot = BOOT.format(path=sys.path, light=own, folder=folder)
        pipe = subprocess.PIPE
        # Of a group of its own, so that Ctrl+C reaches the process that started it alone.
        self.process = subprocess.Popen(
            [sys.executable, "-c", boot], stdin=pipe, stdout=pipe, process_group=0
        )
        self._send(pickle.dumps(job))

    def __enter__(self) -> "_Worker":
        return self

    def __exit__(self, *_: object) -> None:
        """End it after the chunk it works on."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def make(self, chunk: int) -> Made:
        """Have a chunk made."""
        assert self.process.stdout is not None
        self._send(f"{chunk}\n".encode())
        line = self.process.stdout.readline()
        if not line:
            self._ended()
        answer = json.loads(line)
        if "error" in answer:
            raise OSError(*answer["error"])
        return answer["digest"], dict(answer["broken"])

    def _send(self, content: bytes) -> None:
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(content)
            self.process.stdin.flush()
        except BrokenPipeError:
            self._ended()

    def _ended(self) -> None:
        code = self.process.wait()
        if code < 0:
            raise UserError(
                f"a process that decodes images was ended by signal {-code} (9: most likely there "
                "was no memory left). Run again: what is finished is kept"
            )
        raise RuntimeError("a process that decodes images has failed; its error stands above")
