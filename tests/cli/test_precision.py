"""The precision of a training whose user names none."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from jsonargparse import Namespace
from lightning import Trainer
from lightning.pytorch.plugins import MixedPrecision

import cli
from gan_modules.precision import multiplies_bfloat16_fast
from minmax.training import precision
from minmax.training.command_line import GANCLI
from minmax.training.precision import Unsaid, default_precision, precision_to_use
from tests.cli.conftest import CONFIGS, SMALL


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The kinds of devices that multiply bfloat16 fast; the processor, at first."""
    kinds = {"cpu"}
    monkeypatch.setattr(precision, "multiplies_bfloat16_fast", lambda kind: kind in kinds)
    return kinds


@pytest.mark.parametrize(
    ("kind", "supported", "capability", "wanted"),
    [
        ("cuda", True, (8, 0), True),
        ("cuda", True, (7, 5), False),  # emulated
        ("cuda", False, (9, 0), False),
        ("cpu", True, None, True),
        ("cpu", False, None, False),
        ("mps", True, None, False),
    ],
)
def test_hardware_that_multiplies_bfloat16_fast(
    kind: str, supported: bool, capability: Any, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: supported)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: supported)
    assert multiplies_bfloat16_fast(kind) is wanted


def test_the_default_follows_the_accelerator(
    fast: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [default_precision(kind) for kind in ("auto", "gpu", "cpu", object())] == [
        *("32-true", "32-true", "bf16-mixed", "32-true"),
    ]
    fast.add("cuda")
    assert [default_precision(kind) for kind in ("auto", "cuda", "gpu")] == ["bf16-mixed"] * 3


def test_what_is_said_and_what_was_trained_come_first(fast: set[str]) -> None:
    assert precision_to_use(Unsaid(), "cpu", None, []) == "bf16-mixed"
    assert precision_to_use(Unsaid(), "cpu", None, ["64-true", "32-true"]) == "32-true"
    plugin = Namespace(class_path="lightning.pytorch.plugins.MixedPrecision")
    for plugins in (plugin, [MixedPrecision("bf16-mixed", "cpu")]):
        assert precision_to_use(Unsaid(), "cpu", plugins, []) is None
    for given in (None, "32-true", "64-true"):
        assert precision_to_use(given, "cpu", None, ["bf16-mixed"]) == given


def test_of_the_command_line(
    fast: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """It is said, `config.yaml` holds it, and a run goes on in the precision that it has."""
    monkeypatch.setattr("sys.argv", ["cli.py"])
    run = tmp_path / "run"
    common = [
        *("--trainer.accelerator", "cpu", "--trainer.limit_val_batches", "0"),
        *("--trainer.default_root_dir", str(run), "--trainer.max_steps"),
    ]
    given = ["--config", str(CONFIGS / "dcgan_digits.yaml"), *SMALL, *common]
    cli.main(["fit", *given, "1"])
    assert "\nTrains in bf16-mixed; --trainer.precision 32-true" in capsys.readouterr().out
    assert yaml.safe_load((run / "config.yaml").read_text())["trainer"]["precision"] == "bf16-mixed"

    fast.clear()  # another machine
    made: list[Trainer] = []
    monkeypatch.setattr(GANCLI, "fit", lambda cli, **_: made.append(cli.trainer))
    cli.main(["fit", *given, "2", "--resume", "true"])
    cli.main(["fit", "--config", str(run / "config.yaml"), *common, "2", "--resume", "true"])
    assert [trainer.precision for trainer in made] == ["bf16-mixed", "bf16-mixed"]

    fast.add("cpu")
    old = tmp_path / "old.yaml"
    old.write_text("trainer: {precision: null}")
    cli.main(["fit", *given, "2", "--config", str(old), "--resume", "true"])
    assert made[-1].precision == "32-true"


def test_of_python(fast: set[str], tmp_path: Path) -> None:
    from minmax import trainer

    assert trainer(tmp_path / "a", accelerator="cpu").precision == "bf16-mixed"
    assert trainer(tmp_path / "b", accelerator="cpu", precision=None).precision == "32-true"
