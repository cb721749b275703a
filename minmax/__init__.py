"""What the command line needs besides the variants (`gan_modules`) and the data (`datamodules`)."""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

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
