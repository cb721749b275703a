"""`--trust PACKAGE`: packages whose code a config or a checkpoint may name.

Admitted code is imported and called with whatever a config or a checkpoint says. So the user must
decide, on the command line or in the environment; a file can't.
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
COMMANDS = (
    "fit",
    "validate",
    "test",
    "sample",
    "export",
    "explore",
    "average",
    "study",
    "prepare",
    "benchmark",
)
"""The commands that have the option."""
HELP = (
    f"a package of yours whose classes and functions may be named (also from {VARIABLE}, names "
    "with spaces between); its code is run. Repeat it for more"
)
NEVER = sys.stdlib_module_names | {
    *("PIL", "cli", "jsonargparse", "lightning", "lightning_fabric", "lightning_utilities"),
    *("numpy", "pip", "pytorch_lightning", "setuptools", "sklearn", "torch", "torchmetrics"),
    *("torchvision", "yaml"),
}
"""Packages that everyone has and that can run any code."""


def admitted() -> tuple[str, ...]:
    """The packages that the user has admitted.

    Raises:
        UserError: a name is not that of a package, or can't be admitted.
    """
    names = os.environ.get(VARIABLE, "").split()
    for name in names:
        if not all(part.isidentifier() for part in name.split(".")):
            raise UserError(f"{OPTION} {name}: give the name of your package, for example mylab")
        if not admissible(name):
            raise UserError(
                f"{OPTION} {name}: {name.partition('.')[0]} can run any code, and is never "
                "admitted as a whole. Wrap what you need in a class or function of your own package"
            )
    return tuple(names)


def admissible(path: str) -> bool:
    """Whether the package of an import path may be admitted at all."""
    return path.partition(".")[0] not in NEVER


@contextmanager
def admitting(arguments: Sequence[str]) -> Iterator[list[str]]:
    """Admit the packages of `--trust` while the block runs; yield the other arguments.

    The names stand in the environment, so that child processes admit them too.

    Raises:
        UserError: a name is missing, or can't be admitted.
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
                raise UserError(f"{OPTION} needs the name of your package, for example mylab")
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
    """Show the option in a command's help; `admitting` reads its values."""
    options.add_argument(OPTION, action="append", metavar="PACKAGE", help=HELP)


def refuse_in_config(value: object) -> NoReturn:
    """Refuse the option in a config; `admitting` has removed it from the arguments."""
    raise UserError(
        f"a config can't admit code ({value}): give {OPTION} on the command line, or {VARIABLE} in "
        "the environment"
    )


class InWorkingFolder(MetaPathFinder):
    """Finds admitted packages in the working folder, however the command was started.

    Attributes:
        folder: where the running command was started; None outside of a command. jsonargparse
            changes into a config's folder while it reads the config.
    """

    folder: str | None = None

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The specification of an admitted package; None for any other name."""
        names = os.environ.get(VARIABLE, "").split()
        if name not in {admitted.partition(".")[0] for admitted in names}:
            return None
        return PathFinder.find_spec(name, [self.folder or os.getcwd()])


FINDER = InWorkingFolder()
sys.meta_path.append(FINDER)
