"""Signals to a training from Python; tests/cli/test_survival.py has those to real processes."""

import os
import signal

import pytest

from gan_modules import GANModule
from minmax.callbacks import Signals
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
