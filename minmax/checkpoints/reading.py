"""Reads checkpoints safely, with errors that say what to do."""

import warnings
from copy import deepcopy
from pathlib import Path
from typing import Any

from torch import Tensor

from gan_modules import GANModule
from gan_modules.bookkeeping.older import renew
from minmax.admission import OPTION, admitted
from minmax.checkpoints.building import build
from minmax.checkpoints.forms import check_form
from minmax.checkpoints.weighing import check_options, load_weighed
from minmax.errors import MissingError, UserError, files_named, passes_through
from minmax.one_line import one_line

CLASSES = 2**20
"""Most classes of a checkpoint: without class-conditional weights, nothing else bounds them."""
INSTANTIATOR = "lightning.pytorch.cli.instantiate_module"
"""The name that Lightning's command line writes into each checkpoint; it is not called here."""


@files_named()
def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Read a checkpoint of this project, without running any code in it.

    Raises:
        MissingError: there is no such file.
        UserError: it is damaged, no checkpoint of this project, or would have run code.
    """
    if not Path(path).is_file():
        raise MissingError(
            f"there is no checkpoint at {path}; a run keeps its own in its folder, as "
            "checkpoints/last.ckpt and checkpoints/best.ckpt"
        )
    try:
        checkpoint = load_weighed(Path(path))
    except Exception as error:  # a damaged file can make torch raise anything
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"{path} is refused: it is no whole checkpoint, or loading it would run code that is "
            f"stored in it ({reason}). Copy it again, use another, or train one with "
            "`python cli.py fit`"
        ) from error
    if not isinstance(checkpoint, dict) or not (
        isinstance(checkpoint.get("images_seen"), int)
        and isinstance(checkpoint.get("state_dict"), dict)
        and all(isinstance(tensor, Tensor) for tensor in checkpoint["state_dict"].values())
    ):
        raise UserError(f"{path} is no checkpoint of this project: train one with `cli.py fit`")
    try:
        check_form(checkpoint)
    except Exception as error:  # untrusted values can make comparisons raise anything
        raise UserError(f"{path} is refused, since {error}") from error
    renew(checkpoint)
    return checkpoint


def variant_of(checkpoint: dict[str, Any], path: str | Path) -> str:
    """The variant's class path, `gan_modules.GAN` say.

    Raises:
        UserError: the checkpoint doesn't say.
    """
    class_path = checkpoint.get("hyper_parameters", {}).get("_class_path")
    if not isinstance(class_path, str):
        raise UserError(
            f"{path} doesn't say which variant it holds, since it was not made by "
            "`python cli.py fit`. Train it through the command line"
        )
    return class_path


def load_model(path: str | Path, average: int | None = None) -> tuple[GANModule, list[str]]:
    """Build a checkpoint's model in eval mode; also return the names of its classes.

    See `GANModule.draw_with` for `average`.

    Raises:
        MissingError: there is no such file.
        UserError: its model can't be built here, or has no such average.
    """
    return model_of(read_checkpoint(path), path, average)


def model_of(
    checkpoint: dict[str, Any], path: str | Path, average: int | None = None
) -> tuple[GANModule, list[str]]:
    """As `load_model`, of a checkpoint that was read from a path."""
    class_path, names = variant_of(checkpoint, path), checkpoint.get("class_names", [])
    options = deepcopy(checkpoint["hyper_parameters"])  # parsing changes lists in place
    del options["_class_path"]
    if options.get("_undescribed"):
        raise UserError(
            f"{path} was trained with Python objects that have no import path. Load it in Python: "
            f"{class_path.rpartition('.')[2]}.load_from_checkpoint(path, "
            f"{', '.join(f'{name}=...' for name in options['_undescribed'])})"
        )
    try:
        check_options(options)
        if options.pop("_instantiator", INSTANTIATOR) != INSTANTIATOR:
            given = checkpoint["hyper_parameters"]["_instantiator"]
            raise ValueError(f"its _instantiator {given} is no part of a GAN")
        if options.get("num_classes", 0) > CLASSES:
            raise ValueError(f"its num_classes is more than {CLASSES:,}")
        model = build(class_path, options, checkpoint["state_dict"])
        model.load_state_dict(checkpoint["state_dict"])
        model.on_load_checkpoint(checkpoint)
    except Exception as error:  # untrusted options can make the networks raise anything
        if passes_through(error, admitted()) and not isinstance(error, UserError):
            raise  # from the user's own code
        advice = (
            ""
            if OPTION in str(error)
            else ". If it is one of yours, use the version of this project that it was trained with"
        )
        raise UserError(
            f"{path} holds a {class_path} that can't be built here ({one_line(str(error))}){advice}"
        ) from error
    model.draw_with(average)
    if names and len(names) != model.num_classes:
        warnings.warn(
            f"{path} has {len(names)} names for {model.num_classes} classes: numbers are shown "
            "instead",
            stacklevel=2,
        )
        names = []
    return model.eval(), names
