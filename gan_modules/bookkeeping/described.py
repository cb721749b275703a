"""Python objects described as the command line does it, so that checkpoints need no pickles."""

import inspect
from functools import partial
from typing import Any

import numpy as np
from jsonargparse._util import get_import_path, import_object
from torch import nn


def described(value: Any) -> Any:
    """Describe a value by numbers, texts, lists, and dicts of `class_path` and `init_args`.

    Args:
        value: a plain value; a class, or a function with an annotated result, at the top of a
            module; a partial of such a class; or an object whose attributes hold the arguments
            of its constructor.

    Raises:
        ValueError: it is none of these.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.generic):
        return described(value.item())
    if isinstance(value, list | tuple | nn.ModuleList):
        return [described(held) for held in value]
    if isinstance(value, dict):
        return {name: described(held) for name, held in value.items()}
    if isinstance(value, partial):
        if value.args or not isinstance(value.func, type):
            raise ValueError(f"{value} is no class with arguments by name")
        return {"class_path": path_of(value.func), "init_args": described(value.keywords)}
    if isinstance(value, type):
        return {"class_path": path_of(value)}
    if inspect.isfunction(value):
        if "return" not in value.__annotations__:  # the command line needs it as well
            raise ValueError(f"{value} doesn't say what it returns")
        return path_of(value)
    return {"class_path": path_of(type(value)), "init_args": arguments_of(value)}


def path_of(value: Any) -> str:
    """Where a class or function is imported from.

    Raises:
        ValueError: it can't be imported: it was made in a function or in the script, say.
    """
    path = get_import_path(value)
    if value.__module__ == "__main__":  # another module in each process
        raise ValueError(f"{value.__qualname__} stands in the script itself, not in a module")
    try:
        found = import_object(str(path), check_path=False)  # the path comes from code
    except (ImportError, AttributeError, ValueError):
        found = None
    if found is not value:
        raise ValueError(f"{value} can't be imported")
    return str(path)


def arguments_of(value: Any) -> dict[str, Any]:
    """Describe the arguments that build an equal object.

    Raises:
        ValueError: its attributes don't hold them.
    """
    held = attributes_of(value)
    arguments: dict[str, Any] = described(held)
    if held.keys() != inspect.signature(type(value)).parameters.keys() or (
        described(attributes_of(type(value)(**held))) != arguments
    ):
        raise ValueError(f"{value} holds other things than its arguments")
    return arguments


def attributes_of(value: Any) -> dict[str, Any]:
    """An object's attributes; of a module, which holds more, those named as its arguments."""
    if isinstance(value, nn.Module):
        return named_as_arguments(value)
    return dict(getattr(value, "__dict__", {"nothing": None}))


def named_as_arguments(value: Any) -> dict[str, Any]:
    """An object's attributes that have the names of its constructor's arguments."""
    names = inspect.signature(type(value)).parameters
    return {name: getattr(value, name) for name in names if hasattr(value, name)}


def hyperparameters_of(variant: type, arguments: dict[str, Any]) -> dict[str, Any]:
    """Options of a model built in Python, as a checkpoint of the command line holds them.

    Args:
        variant: the model's class.
        arguments: those of its constructor, by name.

    Returns:
        Plain values by name, and under `_undescribed` the arguments that have no description.
    """
    held: dict[str, Any] = {
        "_class_path": get_import_path(variant),
        "_instantiator": "lightning.pytorch.cli.instantiate_module",
    }
    for name in dict.fromkeys([*parameters_of(variant), *arguments]):
        try:
            held[name] = described(arguments[name])
        except (KeyError, ValueError):
            held.setdefault("_undescribed", []).append(name)
    return held


def parameters_of(variant: type) -> list[str]:
    """Names of the arguments of a class, with those that it passes on to its base."""
    names: dict[str, None] = {}
    for base in variant.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(base).parameters.values()
        passed_on = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        names |= {p.name: None for p in parameters if p.kind not in passed_on}
        if all(p.kind is not inspect.Parameter.VAR_KEYWORD for p in parameters):
            break
    return list(names)
