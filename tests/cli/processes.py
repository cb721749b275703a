"""Runs the command line or other Python files in processes that share one import of torch."""

import multiprocessing
import os
import runpy
import sys
import tempfile
from pathlib import Path

import cli

ROOT = Path(cli.__file__).parent
FORKED = multiprocessing.get_context("forkserver")
FORKED.set_forkserver_preload(
    [
        *("minmax.commands.training", "minmax.callbacks"),
        *("sklearn.datasets", "torch.utils.tensorboard"),  # which are imported when needed
    ]
)


class Command:
    """A command in a process of its own, with some methods of `subprocess.Popen`.

    Args:
        arguments: of the command line.
        environment: of the process.
        script: another file of Python to run with these arguments.
        folder: where it runs.

    Attributes:
        output: the file of what it prints.
    """

    def __init__(
        self,
        arguments: list[str],
        environment: dict[str, str],
        script: str = str(ROOT / "cli.py"),
        folder: Path = ROOT,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._streams = [str(Path(self._folder.name) / name) for name in ("output", "errors")]
        self.output = Path(self._streams[0])
        self.output.touch()
        given = {"GIVEN": ([script, *arguments], environment, self._streams, folder)}
        # By its path: another package of dependencies has the name `tests`.
        self._process = FORKED.Process(target=runpy.run_path, args=(__file__, given, "command"))
        self._process.start()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """The exit code, if the process has ended."""
        return self._process.exitcode

    @property
    def returncode(self) -> int | None:
        return self.poll()

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it, if it is still running."""
        self._process.kill()

    def wait(self, timeout: float | None = None) -> int | None:
        """Wait for the end; return the exit code."""
        self._process.join(timeout)
        return self.poll()

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait for the end; return the output and the errors."""
        assert self.wait(timeout) is not None, "it goes on"
        output, errors = (Path(stream).read_text() for stream in self._streams)
        return output, errors


def run(
    arguments: list[str], environment: dict[str, str], streams: list[str], folder: Path
) -> None:
    """Turn this process into the command; the first argument is its file."""
    os.environ.clear()
    os.environ.update(environment)
    for descriptor, stream in enumerate(streams, start=1):
        file = os.open(stream, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, descriptor)
    os.chdir(folder)
    sys.modules["__main__"].__spec__ = None  # so that further ranks are started as this is one
    sys.argv = arguments
    if arguments[0] == str(ROOT / "cli.py"):
        cli.main()
    else:
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "command":
    run(*GIVEN)  # noqa: F821  (given by `run_path`)
