"""Whose an exception is: a library's that was given wrong options, or a bug in code of ours."""

import yaml
from jsonargparse import ArgumentError
from lightning.fabric.utilities.exceptions import MisconfigurationException

from minmax.admission import admitted
from minmax.errors import UserError, modules_of, passes_through
from minmax.trust import lies_in

OWN = ("minmax", "gan_modules", "datamodules")
TRAINER = "lightning.pytorch.trainer.trainer"
OF_STEPS = "lightning.pytorch.loops.optimization"
"""What Lightning says of a step's result comes from there."""
INPUT = (UserError, UnicodeDecodeError, yaml.YAMLError, ArgumentError)
"""What a parser says of its input, whoever called it."""


def raised_in(error: BaseException, package: str) -> bool:
    """Whether an exception was raised by a package itself."""
    return lies_in(["", *modules_of(error)][-1], (package,))


def innermost(error: BaseException, packages: tuple[str, ...]) -> str:
    """The last module of these packages on the way to an exception; empty without any."""
    return next((m for m in reversed(modules_of(error)) if lies_in(m, packages)), "")


def bug_in_parsing(error: BaseException | None) -> BaseException | None:
    """What failed in our code, or in a module of the user's, while jsonargparse read options.

    Args:
        error: jsonargparse's, which may have been made from that.
    """
    while error is not None:
        last = innermost(error, (*OWN, *admitted(), "jsonargparse"))
        if last and not isinstance(error, INPUT) and not lies_in(last, ("jsonargparse",)):
            return error
        error = error.__cause__
    return None


def about_options(error: BaseException) -> bool:
    """Whether the Trainer refuses what it was given: no code of ours was running in it.

    What Lightning says in the midst of a hook or a step, or of a step's result, is about that.
    """
    modules = modules_of(error)
    if TRAINER not in modules or lies_in(modules[-1], (OF_STEPS,)):
        return False
    refusal = isinstance(error, ValueError | OSError | MisconfigurationException) or (
        isinstance(error, RuntimeError) and raised_in(error, "lightning")
    )
    inside = modules[modules.index(TRAINER) :]
    return refusal and not any(lies_in(module, (*OWN, *admitted())) for module in inside)


def about_files(error: BaseException) -> bool:
    """Whether it is about a file that a command has to do with, not a variant, data or a hook."""
    own = ("gan_modules", "datamodules", *admitted())
    return (
        isinstance(error, OSError)
        and error.filename is not None
        and not passes_through(error, (TRAINER, *own))
    )
