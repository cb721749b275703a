"""Runs the command line in this process, to save the seconds of importing torch."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import cli
from tests.conftest import FLOAT32, alone

CONFIGS = Path(__file__).parents[2] / "configs"
SMALL = (
    *("--model.init_args.generator.init_args.width", "8"),
    *("--model.init_args.discriminator.init_args.width", "4"),
)
"""The digits' networks; no test is about their size."""


@pytest.fixture
def config() -> Callable[[str], str]:
    """Path of a config by its name."""
    return lambda name: str(CONFIGS / f"{name}.yaml")


@pytest.fixture
def fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Train a config briefly in `tmp_path/run`, and return that folder."""
    monkeypatch.setattr("sys.argv", ["cli.py"])

    def run(name: str, *arguments: str) -> Path:
        folder = tmp_path / "run"
        options = [] if any("default_root_dir" in a for a in arguments) else [str(folder)]
        cli.main(
            [
                "fit",
                "--config",
                str(CONFIGS / f"{name}.yaml"),
                *("--trainer.accelerator", "cpu", "--quality.features", "pixels"),
                *(SMALL if name == "dcgan_digits" else ()),
                *FLOAT32,
                *[part for option in options for part in ("--trainer.default_root_dir", option)],
                *arguments,
            ]
        )
        return folder

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory, classifier_of_digits: Path) -> Path:
    """A run of the digits: two epochs, scored after each; made by one process, copied by all."""
    made, copy = classifier_of_digits / "run", tmp_path_factory.mktemp("trained") / "run"
    with alone(classifier_of_digits, "run"):
        if not made.exists():
            cli.main(
                [
                    *("fit", "--config", str(CONFIGS / "dcgan_digits.yaml"), *SMALL, *FLOAT32),
                    *("--trainer.accelerator", "cpu", "--trainer.max_epochs", "2"),
                    *("--trainer.check_val_every_n_epoch", "1", "--quality.count", "200"),
                    *("--trainer.default_root_dir", str(made), "--pictures.every_images", "1000"),
                ]
            )
    return Path(shutil.copytree(made, copy))
