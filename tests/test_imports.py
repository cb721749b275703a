"""Imports point one way, from commands down to variants and data, and there are no cycles."""

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LEVELS = (
    ("cli", "minmax.__main__", "minmax.gpu"),
    ("minmax.commands",),
    ("minmax.training", "minmax.generation", "minmax.reporting", "minmax.studying"),
    ("minmax.callbacks", "minmax.benchmarks"),
    ("minmax.diagnosis", "minmax.metrics", "minmax.probes"),
    ("minmax.checkpoints",),
    ("gan_modules", "datamodules"),
)
"""A room imports of its own level and of those below it; all import the single files of minmax."""


def modules() -> dict[str, Path]:
    """All modules of the project, by their names."""
    files = [ROOT / "cli.py"]
    for package in ("minmax", "gan_modules", "datamodules"):
        files += (ROOT / package).rglob("*.py")
    names = {file: ".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files}
    return {name.removesuffix(".__init__"): file for file, name in names.items()}


MODULES = modules()


def imported(name: str) -> Iterator[str]:
    """The project's modules that a module imports, at the top or in functions.

    Imports for type checkers only are left out.
    """
    tree = ast.parse(MODULES[name].read_text())
    tree.body = [node for node in tree.body if not is_for_types(node)]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: write imports in full"
            parts = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [part if part in MODULES else str(node.module) for part in parts]
        else:
            continue
        yield from (module for module in found if module in MODULES)


def is_for_types(node: ast.stmt) -> bool:
    """Whether only a type checker runs a statement."""
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def level(name: str) -> int | None:
    """A module's level, from the top; None for the single files of minmax."""
    for number, rooms in enumerate(LEVELS):
        if any(name == room or name.startswith(f"{room}.") for room in rooms):
            return number
    assert name.partition(".")[0] == "minmax", name
    assert name.count(".") <= 1, f"{name} lies in a room without a level"
    return None


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_downwards(name: str) -> None:
    for other in imported(name):
        below, own = level(other), level(name)
        if below is None:
            continue
        if own is None:  # a single file, which the variants and data may import as well
            assert other.partition(".")[0] in ("gan_modules", "datamodules"), other
        else:
            assert below >= own, f"{other} stands above"
            if name.startswith(("gan_modules", "datamodules")):
                assert other.partition(".")[0] == name.partition(".")[0], other


def test_no_circles() -> None:
    graph = {name: set(imported(name)) - {name} for name in MODULES}
    TopologicalSorter(graph).prepare()


def test_what_is_read_of_an_import() -> None:
    """Imports of modules and of names, from packages and inside functions."""
    assert set(imported("minmax.callbacks")) >= {
        "minmax.callbacks.finite",
        "minmax.callbacks.hooks",
    }
    assert {"minmax.training.parts", "minmax.training.asked"} <= set(
        imported("minmax.training.command_line")
    )
    assert "minmax.generation.exporting" in set(imported("minmax.commands.export"))
