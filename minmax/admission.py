"""`--trust PACKAGE`: packages whose code a config or a checkpoint may name.

It is the user's decision: what is admitted is imported, and called with whatever a config or a
checkpoint says. So it comes from the command line, or from the environment, and from no file.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import NoReturn

from minmax.errors import UserError

OPTION, VARIABLE = "--trust", "MINMAX_TRUST"
COMMANDS = ("fit", "validate", "test", "sample", "export", "explore", "study", "benchmark")
"""Those that have the option."""
HELP = (
    f"a package of yours whose classes and functions may be named (also from {VARIABLE}, names "
    "with spaces between); its code is run. Repeat it for more"
)
NEVER = sys.stdlib_module_names | {
    *("PIL", "cli", "jsonargparse", "lightning", "lightning_fabric", "lightning_utilities"),
    *("numpy", "pip", "pytorch_lightning", "setuptools", "sklearn", "torch", "torchmetrics"),
    *("torchvision", "yaml"),
}
"""What anyone has, and can run anything."""


def admitted() -> tuple[str, ...]:
    """The packages that the user has admitted.

    Raises:
        UserError: there is a name that can't be.
    """
    names = os.environ.get(VARIABLE, "").split()
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")):
            raise UserError(f"{OPTION} {name}: give the name of a package of yours, mylab say")
        if not admissible(name):
            raise UserError(
                f"{OPTION} {name}: code of {name.partition('.')[0]} can do anything, and is never "
                "admitted as a whole. Put a class or function of your own around what you need, "
                "into a package of yours"
            )
    return tuple(names)


def admissible(path: str) -> bool:
    """Whether a package, or that of an import path, may be admitted at all."""
    return path.partition(".")[0] not in NEVER


@contextmanager
def admitting(arguments: Sequence[str]) -> Iterator[list[str]]:
    """The arguments without `--trust`, whose packages are admitted while the block runs.

    They stand in the environment, so that processes that the command starts admit them, too.

    Raises:
        UserError: a name is missing, or can't be one.
    """
    before = os.environ.get(VARIABLE)
    if not arguments or arguments[0] not in COMMANDS:
        yield list(arguments)
        return
    left, names = list[str](), (before or "").split()
    rest = iter(arguments)
    for argument in rest:
        option, equals, name = argument.partition("=")
        if option == OPTION:
            names.append(name if equals else next(rest, ""))
            if not names[-1] or names[-1].startswith("-"):
                raise UserError(f"{OPTION} wants the name of a package of yours, mylab say")
        else:
            left.append(argument)
    os.environ[VARIABLE] = " ".join(names)
    FINDER.folder = os.getcwd() if names else None
    try:
        admitted()
        yield left
    finally:
        FINDER.folder = None
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def add_option(options: argparse.ArgumentParser) -> None:
    """Show the option in a command's help; `admitting` has taken it from the arguments."""
    options.add_argument(OPTION, action="append", metavar="PACKAGE", help=HELP)


def refuse_in_config(value: object) -> NoReturn:
    """Refuse the option, which the parser sees in a config alone.

    Raises:
        UserError: always.
    """
    raise UserError(
        f"a config can't admit code ({value}): give {OPTION} on the command line, or {VARIABLE} in "
        "the environment"
    )


class InWorkingFolder(MetaPathFinder):
    """Finds admitted packages in the working folder, however the command was started.

    Attributes:
        folder: where the command was given that runs now, if one does: jsonargparse goes into a
            config's own folder while it reads it.
    """

    folder: str | None = None

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The specification of one of them, None of all others."""
        names = os.environ.get(VARIABLE, "").split()
        if name not in {admitted.partition(".")[0] for admitted in names}:
            return None
        return PathFinder.find_spec(name, [self.folder or os.getcwd()])


FINDER = InWorkingFolder()
sys.meta_path.append(FINDER)
