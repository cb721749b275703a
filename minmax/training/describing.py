"""The configuration of a run that was made in Python, as the command line would have it."""

import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from lightning import Callback, Trainer, __version__
from lightning.pytorch.utilities import rank_zero_warn

from gan_modules import GANModule
from gan_modules.bookkeeping.described import described, hyperparameters_of, path_of
from minmax.callbacks.hooks import data_of
from minmax.run_config import OPENING
from minmax.training.options import LINKED
from minmax.training.settings import KeepConfig


class DescribedConfig(KeepConfig):
    """Keep what the objects of a run say of themselves; what says nothing is named, and left out.

    Args:
        folder: of the run.
        trainer_options: of its Trainer; objects among them are left out.
        callbacks: of every run, by the name of their options.
    """

    def __init__(
        self, folder: Path, trainer_options: Mapping[str, Any], callbacks: Mapping[str, Callback]
    ) -> None:
        self._trainers = {"default_root_dir": str(folder)} | plain(trainer_options)
        self._callbacks = callbacks
        self._options: dict[str, Any] = {}

    def options(self, trainer: Trainer, module: GANModule) -> dict[str, Any]:
        """The options, plain values."""
        seed = os.environ.get("PL_GLOBAL_SEED")
        self._options = {"trainer": self._trainers}
        self._options |= {} if seed is None else {"seed_everything": int(seed)}
        data = data_of(trainer)
        self._add("model", lambda: of_model(module))
        self._add("data", lambda: {"class_path": path_of(type(data)), "init_args": of(data)})
        for name, callback in self._callbacks.items():
            self._options[name] = plain(attributes(callback))
        return self._options

    def _add(self, name: str, make: Callable[[], dict[str, Any]]) -> None:
        try:
            self._options[name] = make()
        except ValueError as error:
            rank_zero_warn(
                f"config.yaml will not say which {name} this run has: {error}. Commands that need "
                "it want it from you"
            )

    def write(self, file: Path) -> None:
        """Write the options into a file."""
        file.write_text(f"{OPENING}{__version__}\n{self.text()}")

    def text(self) -> str:
        """The options, as YAML."""
        text: str = yaml.safe_dump(self._options, sort_keys=False)
        return text


def of_model(module: GANModule) -> dict[str, Any]:
    """A model by its class and options, without what it is told of the data.

    Raises:
        UserError: it was made of objects that have no import path.
    """
    held = dict(module.hparams)
    if "_instantiator" not in held:  # made by the command line, whose options are plain
        held = hyperparameters_of(type(module), held)
    if missing := held.get("_undescribed"):
        raise ValueError(f"{', '.join(missing)} can't be imported from a module")
    options = {n: held[n] for n in held if n not in LINKED and not n.startswith("_")}
    return {"class_path": path_of(type(module)), "init_args": options}


def of(made: Any) -> dict[str, Any]:
    """The arguments that an object was made with, which it holds under their names.

    Raises:
        UserError: it doesn't hold them all, or they are no plain values.
    """
    held = attributes(made)
    if missing := inspect.signature(type(made)).parameters.keys() - held.keys():
        raise ValueError(
            f"{type(made).__name__} has no attribute of the name of its argument "
            f"{', '.join(sorted(missing))}"
        )
    plain_values: dict[str, Any] = described(held)
    return plain_values


def attributes(made: Any) -> dict[str, Any]:
    """What an object holds under the names of its class' arguments."""
    names = inspect.signature(type(made)).parameters
    return {name: getattr(made, name) for name in names if hasattr(made, name)}


def plain(options: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the options that are plain values."""
    kept = {}
    for name, value in options.items():
        if isinstance(value, bool | int | float | str | None | Path):
            kept[name] = str(value) if isinstance(value, Path) else value
    return kept
