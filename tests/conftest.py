"""Shared by the tests: a cache of their own, its one slow entry, and the order of the files."""

import fcntl
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

WORKER = "PYTEST_XDIST_WORKER" in os.environ
if WORKER:  # before torch is imported: processes that share cores would wait for each other
    os.environ["OMP_NUM_THREADS"] = "1"

FLOAT32 = ("--trainer.precision", "32-true")
"""Of the command line, whose default follows the processor, as no test should."""

EVERY = bool(os.environ.get("MINMAX_TEST_EVERY"))
"""Each untrusted payload through each command, with parsers of its own; else each through one."""
HERE = Path(__file__).parent
FIRST = (
    *("cli/test_run.py", "callbacks/test_interruptions.py", "callbacks/test_diagnosis.py"),
    *("benchmarks/test_work.py", "gan_modules/test_parallel.py", "gan_modules/test_parts.py"),
    *("cli/test_survival.py", "cli/test_resume.py", "cli/test_benchmark.py", "cli/test_export.py"),
    *("cli/test_scores.py", "cli/test_untrusted.py", "cli/test_errors.py", "cli/test_study.py"),
    *("outside/test_outside.py", "metrics/test_features.py", "cli/test_explore_visitors.py"),
    *("cli/test_explore.py", "callbacks/test_quality.py", "cli/test_bugs.py"),
    *("test_pages.py", "cli/test_damage.py", "cli/test_environments.py", "cli/test_help.py"),
    *("cli/test_folders.py", "outside/test_in_python.py", "gan_modules/test_loading.py"),
)
"""The slowest files, so that none of them is begun when all else is done.

The first one has the classifier and a run trained, which those behind the first six ask for.
"""


def pytest_configure(config: pytest.Config) -> None:
    """Distribute the files to the processes in the order of this module."""
    config.option.loadscopereorder = False


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Have the collector of garbage pass over what is imported here: a million objects."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {HERE / name: place for place, name in enumerate(FIRST)}
    assert all(file.is_file() for file in places), "a file of FIRST has another name now"
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(autouse=True, scope="session")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Use one cache folder for all tests, separate from the user's."""
    with pytest.MonkeyPatch.context() as patch:
        base = tmp_path_factory.getbasetemp()
        folder = (base.parent if WORKER else base) / "cache"
        folder.mkdir(exist_ok=True)
        patch.setenv("MINMAX_CACHE", str(folder))
        yield folder


@pytest.fixture(autouse=True, scope="session")
def _no_waiting_for_the_disk() -> Iterator[None]:
    """No test turns the power off, and some look only at what would be waited for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session")
def classifier_of_digits(_cache: Path) -> Path:
    """The cache; one process trains the classifier in it, the others wait for that.

    It is trained on fewer images than the recipe has, and taken for that of the recipe.
    """
    import torch

    from datamodules import Digits
    from minmax.metrics import classifier
    from minmax.metrics.scorer import make_scorer

    whole, recipe = classifier.train_classifier, classifier.RECIPE

    def train(*arguments: Any) -> classifier.DomainClassifier:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(classifier, "RECIPE", replace(recipe, most_epochs=2, batch_size=32))
            return whole(*arguments)

    with alone(_cache, "classifier"), pytest.MonkeyPatch.context() as patch:
        patch.setattr(classifier, "train_classifier", train)
        make_scorer(Digits(), "domain", None, torch.device("cpu"))
    return _cache


@pytest.fixture(scope="session")
def built() -> dict[str, Any]:
    """The parsers of `fit`, `validate` and `test`, once they are built."""
    return {}


@pytest.fixture
def one_parser(built: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """For commands that train nothing: build the parsers only once, which is most of their work."""
    from minmax.training.command_line import GANCLI

    build = GANCLI.setup_parser

    def setup(self: GANCLI, *arguments: Any) -> None:
        if not built:
            with monkeypatch.context() as patch:
                patch.setattr(GANCLI, "given", None)  # of all commands, not of this one alone
                build(self, *arguments)
            built.update({name: value for name, value in vars(self).items() if "parser" in name})
            built["_subcommand_method_arguments"] = self._subcommand_method_arguments
        vars(self).update(built)

    if not EVERY:
        monkeypatch.setattr(GANCLI, "setup_parser", setup)


@contextmanager
def alone(folder: Path, name: str) -> Iterator[None]:
    """Have one of the processes make something in a folder while the others wait."""
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
