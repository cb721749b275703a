"""Everything but the variants (`gan_modules`) and the data (`datamodules`).

In Python, `minmax.trainer(folder)` makes a Trainer that works as the command line's does.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from minmax.parent import end_with_parent

OWN = ("cli", "datamodules", "gan_modules")
"""The project's other top-level modules."""


class OwnFirst(MetaPathFinder):
    """Finds the project's own modules before others of the same name.

    A user's `PYTHONPATH` may hold another `datamodules`.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The specification of such a module; None for any other name."""
        if name not in OWN:
            return None
        return PathFinder.find_spec(name, [str(Path(__file__).parents[1])])


sys.meta_path.insert(0, OwnFirst())
end_with_parent()  # before anything is imported that takes seconds


def __getattr__(name: str) -> Any:
    """Import `trainer` on first use: importing Lightning takes seconds."""
    if name != "trainer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module("minmax.training.in_python").trainer
