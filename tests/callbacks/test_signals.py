"""Signals to a training from Python; tests/cli/test_survival.py has those to real processes."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.fabric.strategies.launchers.subprocess_script import _ChildProcessObserver
from lightning.pytorch.strategies.launchers.subprocess_script import _SubprocessScriptLauncher

from gan_modules import GANModule
from minmax.callbacks import Signals
from minmax.callbacks.signals import watched_by_lightning
from minmax.training.launching import ranks_end_together
from tests.gan_modules.helpers import AfterBatch, make_batches, make_model, make_trainer

pytestmark = pytest.mark.filterwarnings("ignore")


def test_a_trainer_that_was_stopped_trains_again(capsys: pytest.CaptureFixture[str]) -> None:
    signals = [2]

    def interrupt(model: GANModule) -> None:
        if signals and model.trainer.global_step == signals[0]:
            signals.clear()
            os.kill(os.getpid(), signal.SIGINT)

    trainer = make_trainer(callbacks=[Signals(), AfterBatch(interrupt)])
    with pytest.raises(SystemExit, match="130"):
        trainer.fit(make_model(), make_batches(4))
    assert "Stopped by SIGINT after" in capsys.readouterr().out
    trainer.fit(model := make_model(), make_batches(4))
    assert model.trainer.is_last_batch


@pytest.mark.parametrize(
    ("environment", "rank", "watched"),
    [
        (LightningEnvironment(), 0, False),
        (LightningEnvironment(), 1, True),
        (TorchElasticEnvironment(), 1, False),
        (None, 0, False),
    ],
)
def test_who_is_watched_by_lightning(environment: Any, rank: int, watched: bool) -> None:
    """It kills the first process if one that it has started ends with another code than 0."""
    strategy = SimpleNamespace(cluster_environment=environment)
    trainer: Any = SimpleNamespace(strategy=strategy, local_rank=rank)
    assert watched_by_lightning(trainer) is watched


def test_a_process_survives_those_that_it_has_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = _SubprocessScriptLauncher(LightningEnvironment(), 2, 1)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    launcher.procs.append(child)
    observer = _ChildProcessObserver(os.getpid(), launcher.procs)
    strategy = SimpleNamespace(launcher=launcher)
    trainer: Any = SimpleNamespace(strategy=strategy, world_size=2)
    with suppress(RuntimeError), ranks_end_together(trainer):
        raise RuntimeError
    assert child.wait(timeout=10) == -signal.SIGTERM
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda process, number: killed.append(process))
    assert observer._run()
    assert not killed
