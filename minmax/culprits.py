"""What caused an exception: the user's options, or a bug in the project's code."""

import yaml
from jsonargparse import ArgumentError
from lightning.fabric.utilities.exceptions import MisconfigurationException

from minmax.admission import admitted
from minmax.errors import UserError, lies_in, modules_of, passes_through

OWN = ("minmax", "gan_modules", "datamodules")
TRAINER = "lightning.pytorch.trainer.trainer"
DEVICES = "lightning.pytorch.trainer.connectors.accelerator_connector"
OF_STEPS = "lightning.pytorch.loops.optimization"
"""Where Lightning checks the result of a step."""
INPUT = (UserError, UnicodeDecodeError, yaml.YAMLError, ArgumentError)
"""A parser's errors about its input, whoever called the parser."""


def raised_in(error: BaseException, package: str) -> bool:
    """Whether a package's own code raised an exception."""
    return lies_in(["", *modules_of(error)][-1], (package,))


def innermost(error: BaseException, packages: tuple[str, ...]) -> str:
    """The innermost module of these packages in an exception's traceback; empty if none."""
    return next((m for m in reversed(modules_of(error)) if lies_in(m, packages)), "")


def bug_in_parsing(error: BaseException | None) -> BaseException | None:
    """The exception of the project's or the user's code behind an error of jsonargparse; or None.

    Args:
        error: jsonargparse's, whose causes are searched.
    """
    while error is not None:
        last = innermost(error, (*OWN, *admitted(), "jsonargparse"))
        if last and not isinstance(error, INPUT) and not lies_in(last, ("jsonargparse",)):
            return error
        error = error.__cause__
    return None


def about_options(error: BaseException) -> bool:
    """Whether the Trainer refuses its options: neither the project's nor the user's code ran in it.

    An error in a hook or a step, or about a step's result, is not about options.
    """
    modules = modules_of(error)
    if TRAINER not in modules or lies_in(modules[-1], (OF_STEPS,)):
        return False
    refusal = isinstance(error, ValueError | OSError | MisconfigurationException) or (
        isinstance(error, RuntimeError | ImportError) and raised_in(error, "lightning")
    )
    refusal |= isinstance(error, TypeError) and DEVICES in modules  # not of a hook it calls
    inside = modules[modules.index(TRAINER) :]
    return refusal and not any(lies_in(module, (*OWN, *admitted())) for module in inside)


def about_files(error: BaseException) -> bool:
    """Whether a command's own file failed, not one that a variant, data or a hook opened."""
    own = ("gan_modules", "datamodules", *admitted())
    return (
        isinstance(error, OSError)
        and error.filename is not None
        and not passes_through(error, (TRAINER, *own))
    )
