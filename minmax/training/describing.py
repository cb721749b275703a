"""Writes the configuration of a run made in Python as the command line would write it."""

import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from lightning import Callback, Trainer, __version__
from lightning.pytorch.utilities import rank_zero_warn

from gan_modules import GANModule
from gan_modules.bookkeeping.described import (
    described,
    hyperparameters_of,
    named_as_arguments,
    path_of,
)
from minmax.callbacks.hooks import data_of
from minmax.run_config import OPENING
from minmax.training.placing import LINKED
from minmax.training.settings import KeepConfig


class DescribedConfig(KeepConfig):
    """Keep the options of a run's objects; warn of objects that can't be described.

    Args:
        folder: of the run.
        trainer_options: of its Trainer; objects among them are left out.
        callbacks: those that every run has, by the name of their options.
    """

    def __init__(
        self, folder: Path, trainer_options: Mapping[str, Any], callbacks: Mapping[str, Callback]
    ) -> None:
        self._trainer_options = {"default_root_dir": str(folder)} | plain(trainer_options)
        self._callbacks = callbacks
        self._options: dict[str, Any] = {}

    def options(self, trainer: Trainer, module: GANModule) -> dict[str, Any]:
        """The options, plain values."""
        seed = os.environ.get("PL_GLOBAL_SEED")
        self._options = {"trainer": self._trainer_options}
        self._options |= {} if seed is None else {"seed_everything": int(seed)}
        data = data_of(trainer)
        self._add("model", lambda: of_model(module))
        self._add(
            "data",
            lambda: {"class_path": path_of(type(data)), "init_args": of(data)},
        )
        for name, callback in self._callbacks.items():
            self._options[name] = plain(named_as_arguments(callback))
        return self._options

    def _add(self, name: str, make: Callable[[], dict[str, Any]]) -> None:
        try:
            self._options[name] = make()
        except ValueError as error:
            rank_zero_warn(
                f"config.yaml will not say which {name} this run has: {error}. Commands that need "
                "it must be given it"
            )

    def write(self, file: Path) -> None:
        """Write the options into a file."""
        text = yaml.safe_dump(self._options, sort_keys=False)
        file.write_text(f"{OPENING}{__version__}\n{text}")


def of_model(module: GANModule) -> dict[str, Any]:
    """A model's class path and options, without those that come from the data.

    Raises:
        ValueError: it was made of objects that have no import path.
    """
    saved = dict(module.hparams)
    if "_instantiator" not in saved:  # the command line, which sets it, saves plain options
        saved = hyperparameters_of(type(module), saved)
    if missing := saved.get("_undescribed"):
        raise ValueError(f"{', '.join(missing)} can't be imported from a module")
    options = {n: saved[n] for n in saved if n not in LINKED and not n.startswith("_")}
    return {"class_path": path_of(type(module)), "init_args": options}


def of(instance: object) -> dict[str, Any]:
    """An object's constructor arguments, read from its attributes of the same names.

    Raises:
        ValueError: an attribute is missing, or is no plain value.
    """
    values = named_as_arguments(instance)
    if missing := inspect.signature(type(instance)).parameters.keys() - values.keys():
        raise ValueError(
            f"{type(instance).__name__} has no attribute of the name of its argument "
            f"{', '.join(sorted(missing))}"
        )
    plain_values: dict[str, Any] = described(values)
    return plain_values


def plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that are plain values."""
    kept = {}
    for name, value in options.items():
        if isinstance(value, bool | int | float | str | None | Path):
            kept[name] = str(value) if isinstance(value, Path) else value
    return kept
