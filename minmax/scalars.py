"""Reads a run's scalars from its TensorBoard files, in the order of the run's starts."""

import re
import warnings
from contextlib import suppress
from math import inf
from pathlib import Path

from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event, SessionLog

from minmax.errors import UserError

Scalars = dict[str, dict[int, float]]
"""For each log name: images seen to value."""

FRAME = 16
"""Bytes of a record besides its content."""


def read_scalars(run: Path) -> dict[str, tuple[list[int], list[float]]]:
    """Every scalar of a run, by log name: images seen, and values.

    Values of a resumed run replace earlier values at the same images. The unreadable rest of a
    damaged file is left out, with a warning.

    Raises:
        UserError: there is no such folder, or it holds no scalars.
    """
    if not run.is_dir():
        raise UserError(f"{run} is no folder: give the folder of a run")
    files = sorted(run.glob("*tfevents*"))
    read = [(start_of(file), *_read(file)) for file in files]
    held: Scalars = {}
    # Files without a number of their start are sorted by the first image that they replace.
    for _, since, scalars in sorted(read, key=lambda item: item[:2]):
        for name in held:
            held[name] = {n: value for n, value in held[name].items() if n < since or since < 0}
        for name, values in scalars.items():
            held.setdefault(name, {}).update(values)
    series = {name: sorted(values.items()) for name, values in held.items() if values}
    if not series:
        why = (
            "nothing was logged yet, as it is at each --trainer.log_every_n_steps batches"
            if files
            else "give the folder of a run"
        )
        raise UserError(f"{run} holds no scalars of TensorBoard: {why}")
    return {name: ([s for s, _ in pairs], [v for _, v in pairs]) for name, pairs in series.items()}


def start_of(file: Path) -> int:
    """Number of the run's start that wrote a file; 0 if the name doesn't say."""
    found = re.search(r"\.start(\d+)$", file.name)
    return int(found[1]) if found else 0


def of_today(name: str) -> str:
    """A log name in today's words: versions before 0.2 logged a `critic`."""
    return re.sub(r"/critic\b", "/discriminator", name)


def _read(file: Path) -> tuple[float, Scalars]:
    """A file's scalars, and the images seen from which they replace earlier ones."""
    since, scalars, size = -inf, Scalars(), 0
    with suppress(Exception):  # a damaged file can make the parser raise anything
        for record in RawEventFileLoader(str(file)).Load():
            event = Event.FromString(record)
            size += len(record) + FRAME
            if event.session_log.status == SessionLog.START:
                since = event.step
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    scalars.setdefault(of_today(value.tag), {})[event.step] = value.simple_value
    if size != file.stat().st_size:
        warnings.warn(
            f"{file} is damaged after {size:,} bytes: the rest is left out",
            stacklevel=2,
        )
    return since, scalars
