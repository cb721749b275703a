"""Whose code a config or a checkpoint may name: this file is the whole rule.

Import paths are followed only into `ALLOWED` and the packages that the user has admitted
(`--trust`); no other module is imported. A path must lead to a class or a function that is defined
at the top level of its own module. This excludes what a module has imported (`torch.os.system`),
methods, instances and partials. And its kind must fit the place:

| where | what |
| --- | --- |
| `model` | a variant: a subclass of `GANModule`, from `gan_modules` |
| below it | what `gan_modules` defines; optimizers and schedules of `torch.optim` |
| `data` | a subclass of `ImageDataModule`, from `datamodules` |
| below it | such a subclass, or one of `Distribution` |
| elsewhere | services of Lightning and `minmax.callbacks`; what `gan_modules` defines |

Admitted packages are allowed wherever `gan_modules` is. In addition, jsonargparse checks the
annotated types of all arguments (a generator is a `Generator`) before anything is built.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from os import PathLike
from types import FunctionType, ModuleType
from typing import Any

from jsonargparse import Namespace, _common, _loaders_dumpers, set_parsing_settings
from lightning import Callback
from lightning.fabric.plugins import ClusterEnvironment
from lightning.pytorch.accelerators import Accelerator
from lightning.pytorch.loggers import Logger
from lightning.pytorch.plugins import LayerSync, Precision
from lightning.pytorch.profilers import Profiler
from lightning.pytorch.strategies import Strategy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from datamodules import Distribution, ImageDataModule
from gan_modules import GANModule
from gan_modules.bookkeeping.older import renewed_config
from minmax import documents
from minmax.admission import OPTION, admissible, admitted
from minmax.errors import UserError, lies_in

OF_TRAINER = ("accelerators", "callbacks", "loggers", "plugins", "profilers", "strategies")
SERVICES = (
    "minmax.callbacks",
    "lightning.fabric.plugins",
    *(f"lightning.pytorch.{name}" for name in OF_TRAINER),
)
SERVICE_KINDS = (
    *(Accelerator, Callback, ClusterEnvironment, LayerSync, Logger, Precision, Profiler, Strategy),
)
"""No `CheckpointIO`: Lightning's may unpickle what lies in a run's folder."""
ALLOWED = ("gan_modules", "datamodules", "torch.optim", *SERVICES)


class Bounded(documents.Bounded, _loaders_dumpers.get_yaml_default_loader()):  # type: ignore[misc]
    """jsonargparse's YAML loader with limits, for configs and option values."""

    def get_single_data(self) -> Any:
        """Parse the text; options of an earlier version are renamed to today's."""
        return renewed_config(super().get_single_data())


@contextmanager
def enforced() -> Iterator[None]:
    """Have jsonargparse import only what is allowed or admitted, and refuse huge YAML.

    The settings are restored afterwards: a notebook may use jsonargparse for other things.
    """
    loader, settings = _loaders_dumpers.yaml_default_loader, dict(_common.parsing_settings)
    _loaders_dumpers.yaml_default_loader = Bounded  # type: ignore[assignment]
    set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=[*ALLOWED, *admitted()])
    try:
        yield
    finally:
        _loaders_dumpers.yaml_default_loader = loader
        _common.parsing_settings.update(settings)


def imported(path: str, place: str) -> Any:
    """Import what a path names, if it may be named at this place.

    Args:
        path: `gan_modules.GAN`, say.
        place: its full name among the options, `model.init_args.generator` say.

    Raises:
        UserError: it may not, or isn't there.
    """
    module, _, name = path.rpartition(".")
    if not lies_in(path, (*ALLOWED, *admitted())):
        raise UserError(refusal(path))
    import_own(path)
    try:
        thing = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{path} can't be imported here ({error})") from error
    check_object(thing, path, place)
    return thing


def import_own(text: str) -> None:
    """Import the admitted modules that a text names, so that their own errors are raised.

    jsonargparse, which imports them later, would replace these errors.
    """
    for path in re.findall(r"[\w.]+", text):
        if lies_in(path, admitted()):
            try:
                import_module(path.rpartition(".")[0] or path)
            except ModuleNotFoundError as error:
                if not lies_in(path, (str(error.name),)):
                    raise


def check_object(thing: Any, path: str, place: str) -> None:
    """Refuse what may not be named at this place."""
    if not isinstance(thing, type | FunctionType):
        raise UserError(f"{path} is refused: it is neither a class nor a function")
    home, name = thing.__module__, thing.__qualname__
    standing: object = getattr(sys.modules.get(home), name, None)
    if standing is not thing:
        raise UserError(f"{path} is refused: it isn't defined at the top of a module")
    if not lies_in(home, (*ALLOWED, *admitted())):
        raise UserError(refusal(f"{home}.{name}"))
    if place == "model":
        if not is_a(thing, GANModule) or thing is GANModule:
            raise UserError(f"{path} is no GAN of this project")
    elif place == "data":
        if not is_a(thing, ImageDataModule):
            raise UserError(f"{path} is no data of this project: choose from `datamodules`")
    elif not belongs(thing, home, place.partition(".")[0]):
        raise UserError(f"{path} is refused: it doesn't belong at {place}")


def belongs(thing: type | FunctionType, home: str, top: str) -> bool:
    """Whether a class or function may be named below an option.

    Args:
        thing: the class or function.
        home: the module that defines it.
        top: `model`, `data`, or another.
    """
    if lies_in(home, admitted()):
        return True
    if top == "data":
        return is_a(thing, ImageDataModule, Distribution)
    if lies_in(home, ("torch.optim",)):
        return is_a(thing, Optimizer, LRScheduler)
    if lies_in(home, SERVICES):
        return top != "model" and is_a(thing, *SERVICE_KINDS)
    return lies_in(home, ("gan_modules",))


def is_a(thing: Any, *kinds: type) -> bool:
    """Whether it is a class of one of these kinds."""
    return isinstance(thing, type) and issubclass(thing, kinds)


def check_config(values: Any, place: str = "") -> None:
    """Refuse a configuration that names what may not be named, before any of it is built.

    Args:
        values: as jsonargparse has parsed them; classes are imported by then.
        place: full name of the option that holds the values.
    """
    if isinstance(values, Namespace):
        values = vars(values)
    if isinstance(values, dict):
        if isinstance(values.get("class_path"), str):
            imported(values["class_path"], place)
        for key, value in values.items():
            check_config(value, f"{place}.{key}" if place else str(key))
    elif isinstance(values, list | tuple | set):
        for value in values:
            check_config(value, place)
    elif isinstance(values, ModuleType) or (callable(values) and not isinstance(values, PathLike)):
        name = f"{getattr(values, '__module__', '')}.{getattr(values, '__qualname__', values)}"
        check_object(values, name, place)


def refusal(path: str) -> str:
    """The message about an import path that may not be named."""
    package = path.partition(".")[0]
    if admissible(path):
        return (
            f"{path} is refused, and was not imported: if you trust the code of {package}, run the "
            f"command with {OPTION} {package}"
        )
    return (
        f"{path} is refused: it is no part of a GAN. What may be named is what gan_modules and "
        "datamodules define, optimizers of torch.optim, and what the Trainer's options take"
    )


def reworded(message: str) -> str:
    """A message of jsonargparse in which `refusal` replaces its text about a denied import."""
    return re.sub(
        r"Importing '(\S+)' is not allowed, denied by .*? to allow it\.",
        lambda found: refusal(found[1]),
        message,
        flags=re.DOTALL,
    )
