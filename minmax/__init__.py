"""What the command line needs besides the variants (`gan_modules`) and the data (`datamodules`).

In Python, `minmax.trainer(folder)` is a Trainer with all that the command line's has.
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
"""Names beside this package's own that the project has at the top level."""


class OwnFirst(MetaPathFinder):
    """Finds the project's own modules beside this package, whatever else has their names.

    A user's `PYTHONPATH` may well hold a `datamodules` of theirs.
    """

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The specification of one of them, None of all others."""
        if name not in OWN:
            return None
        return PathFinder.find_spec(name, [str(Path(__file__).parents[1])])


sys.meta_path.insert(0, OwnFirst())
end_with_parent()  # before anything is imported that takes seconds


def __getattr__(name: str) -> Any:
    """`trainer`, when it is asked for: Lightning alone takes seconds to import."""
    if name != "trainer":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module("minmax.training.in_python").trainer
