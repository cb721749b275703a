"""Safe reading of checkpoints, with errors that say what to do."""

import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from gan_modules import GANModule
from minmax.files import check_archive


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint of this project, without running any code in it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no whole checkpoint, or would have run code.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"there is no checkpoint at {path}; a run keeps its own in its folder, as "
            "checkpoints/last.ckpt and checkpoints/best.ckpt"
        )
    try:
        check_archive(Path(path))
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can make torch raise anything
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{path} is refused: it is no whole checkpoint, or loading it would run code that is "
            f"stored in it ({reason}). Copy it again, use another, or train one with "
            "`python cli.py fit`"
        ) from error
    if not isinstance(checkpoint, dict) or not {"images_seen", "state_dict"} <= checkpoint.keys():
        raise ValueError(f"{path} is no checkpoint of this project: train one with `cli.py fit`")
    return checkpoint


def variant_of(checkpoint: dict[str, Any], path: str | Path) -> str:
    """The variant's class path, `gan_modules.GAN` say.

    Raises:
        ValueError: the checkpoint doesn't say.
    """
    hyperparameters = checkpoint.get("hyper_parameters")
    class_path = isinstance(hyperparameters, dict) and hyperparameters.get("_class_path")
    if not isinstance(class_path, str):
        raise ValueError(
            f"{path} doesn't say which variant it holds, since it was not made by "
            "`python cli.py fit`. Train it through the command line"
        )
    return class_path


def refuse_foreign_code(options: Any, path: str | Path) -> None:
    """Refuse class paths that lead into Python's own modules, before any is imported.

    What else they lead to must be of the type that the variant asks for; jsonargparse checks that
    after the import.

    Raises:
        ValueError: there is such a path.
    """
    items = options.items() if isinstance(options, dict) else enumerate(options)
    for key, value in items:
        if isinstance(value, dict | list | tuple):
            refuse_foreign_code(value, path)
        elif isinstance(value, str) and (
            "." in value and value.partition(".")[0] in sys.stdlib_module_names
        ):
            raise ValueError(f"{path} is refused: its {key} {value} is no part of a GAN")


def load_model(path: str | Path) -> tuple[GANModule, list[str]]:
    """Build the model of a checkpoint, in eval mode, and the names of its classes.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds no model that can be built here.
    """
    checkpoint = read_checkpoint(path)
    class_path = variant_of(checkpoint, path)
    refuse_foreign_code(checkpoint["hyper_parameters"], path)
    module, _, name = class_path.rpartition(".")
    try:
        variant = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{path} holds a {class_path}, which can't be imported here ({error}). Put the file "
            "that defines it where it was when the model was trained"
        ) from error
    if not (isinstance(variant, type) and issubclass(variant, GANModule)):
        raise ValueError(f"{path} holds a {class_path}, which is no GAN of this project")
    try:
        model = variant.load_from_checkpoint(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a stranger's options make the networks raise
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{path} holds a {class_path} that can't be built here ({reason}). Use the version of "
            "this project that it was trained with"
        ) from error
    return model.eval(), class_names_of(checkpoint, model.num_classes, path)


def class_names_of(checkpoint: dict[str, Any], count: int, path: str | Path) -> list[str]:
    """Names of a checkpoint's classes; none, so that numbers stand for them, if they don't fit."""
    names = checkpoint.get("class_names")
    fit = isinstance(names, list) and all(isinstance(name, str) for name in names)
    if names and fit and len(names) == count:
        return list(names)
    if names:
        warnings.warn(
            f"{path} names its {count} classes wrongly: numbers stand for them", stacklevel=3
        )
    return []
