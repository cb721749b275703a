"""What a run adds to a Trainer of Lightning's: its callbacks, plugins, logger and strategy."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning import Callback
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins.io import CheckpointIO
from lightning.pytorch.strategies import Strategy

from minmax import callbacks
from minmax.events import Events
from minmax.training.launching import several_work, started_by

DEFAULTS: dict[str, Any] = {
    "devices": 1,
    "enable_model_summary": False,  # it says 0 FLOPs of all
}
"""A run's defaults for the Trainer, where they differ from Lightning's."""
TAKEN = ("plugins", "logger", "strategy", "devices", "num_nodes")
"""Options of a Trainer that `run_parts` reads."""
WITH_OPTIONS: dict[str, type[Callback]] = {
    "pictures": callbacks.Pictures,
    "quality": callbacks.Quality,
    "progress": callbacks.Progress,
    "finite": callbacks.Finite,
    "averages": callbacks.Averages,
    "compile": callbacks.Compiled,
    "graph": callbacks.StepGraph,
    "checkpoint_best": callbacks.BestCheckpoint,
    "checkpoint_last": callbacks.LastCheckpoint,
}
"""The callbacks of every run that have options, by the name of the options' group."""
WITHOUT_OPTIONS: tuple[type[Callback], ...] = (
    callbacks.Promises,
    callbacks.Amounts,
    callbacks.Probes,
    callbacks.Diagnosis,
    callbacks.Signals,
)
"""The callbacks of every run that have no options."""


def run_callbacks(**chosen: Callback) -> list[Callback]:
    """The callbacks of every run.

    Args:
        chosen: replacements for the defaults, by their names in `WITH_OPTIONS`.

    Raises:
        TypeError: there is no such name.
    """
    if unknown := chosen.keys() - WITH_OPTIONS.keys():
        raise TypeError(f"there is no {sorted(unknown)}: choose from {sorted(WITH_OPTIONS)}")
    first = [chosen.get(name) or kind() for name, kind in WITH_OPTIONS.items()]
    return [*first, *(kind() for kind in WITHOUT_OPTIONS)]


def run_parts(
    folder: Path,
    *,
    plugins: Any = None,
    logger: Logger | list[Logger] | bool | None = None,
    strategy: str | Strategy = "auto",
    devices: Any = 1,
    num_nodes: int = 1,
    logs: bool = True,
    since: int | None = None,
) -> dict[str, Any]:
    """The Trainer's arguments that a run changes, except callbacks.

    Args:
        folder: of the run.
        plugins: one, or several.
        logger: the user's; None or True: the run's own.
        strategy: as Lightning takes it.
        devices: as Lightning takes them.
        num_nodes: number of machines.
        logs: whether the run's own logger is wanted; `validate` and `test` only print.
        since: images seen from which a resumed run replaces logged values.
    """
    given = plugins if isinstance(plugins, list) else [plugins] if plugins else []
    added = with_plugins(given, num_nodes)
    parts: dict[str, Any] = {"plugins": added}
    if logger is None or logger is True:
        parts["logger"] = Events(folder, since) if logs else False
    together = several_work(added, num_nodes, devices)
    if strategy == "ddp" or (strategy == "auto" and together):
        parts["strategy"] = "gan_ddp"
    return parts


def with_plugins(plugins: Sequence[Any], num_nodes: int) -> list[Any]:
    """The plugins, with a run's own: `WholeCheckpoints`, and the cluster environment."""
    added = list(plugins)
    if not any(isinstance(plugin, CheckpointIO) for plugin in plugins):
        added.append(callbacks.WholeCheckpoints())
    environment = started_by(plugins, num_nodes)
    if environment not in plugins:
        added.append(environment)
    return added
