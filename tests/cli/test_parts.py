"""What a run adds to Lightning's Trainer is the same from the command line and from Python."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning import Trainer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.plugins.io import TorchCheckpointIO

from minmax.callbacks import Quality, WholeCheckpoints
from minmax.events import Events
from minmax.training.command_line import GANCLI
from minmax.training.parts import DEFAULTS, run_callbacks, run_parts
from minmax.training.settings import SaveConfig


def test_of_the_command_line_and_of_python(
    fit: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Trainer] = []
    monkeypatch.setattr(GANCLI, "fit", lambda cli, **_: made.append(cli.trainer))
    folder = fit("dcgan_digits")
    trainer = Trainer(
        accelerator="cpu",
        default_root_dir=folder,
        callbacks=run_callbacks(),
        **DEFAULTS,
        **run_parts(folder),
    )

    def facts(of: Any) -> list[Any]:
        every = [type(callback) for callback in of.callbacks]
        strategy = of.strategy
        kinds = [type(part) for part in (strategy, strategy.checkpoint_io, of.logger)]
        return [
            [kind for kind in every if kind is not SaveConfig],
            *kinds,
            *(of.world_size, of.log_dir, of.default_root_dir),
        ]

    assert facts(trainer) == facts(made[0])
    assert isinstance(trainer.strategy.checkpoint_io, WholeCheckpoints)
    assert isinstance(trainer.logger, Events)


def test_what_is_given_is_kept(tmp_path: Path) -> None:
    own, mine = TorchCheckpointIO(), CSVLogger(tmp_path)
    parts = run_parts(tmp_path, plugins=own, logger=mine, strategy="fsdp", devices=2)
    assert [part for part in parts["plugins"] if isinstance(part, TorchCheckpointIO)] == [own]
    assert parts.keys() == {"plugins"}
    assert run_parts(tmp_path, logs=False)["logger"] is False
    assert run_parts(tmp_path, logger=False).keys() == {"plugins"}


@pytest.mark.parametrize(
    ("options", "strategy"),
    [
        ({}, None),
        ({"devices": "1"}, None),
        ({"devices": 2}, "gan_ddp"),
        ({"devices": [0, 1]}, "gan_ddp"),
        ({"num_nodes": 2}, "gan_ddp"),
        ({"strategy": "ddp"}, "gan_ddp"),
        ({"strategy": "gan_ddp"}, None),
    ],
)
def test_several_devices_share_gradients_of_one_network_at_a_time(
    options: dict[str, Any], strategy: str | None, tmp_path: Path
) -> None:
    assert run_parts(tmp_path, **options).get("strategy") == strategy


def test_a_callback_with_other_options() -> None:
    mine = Quality(count=10)
    every = run_callbacks(quality=mine)
    assert [callback for callback in every if isinstance(callback, Quality)] == [mine]
    assert [type(callback) for callback in every] == [type(c) for c in run_callbacks()]
    with pytest.raises(
        TypeError, match=r"there is no \['scores'\]: choose from \['averages', 'checkpoint_"
    ):
        run_callbacks(scores=mine)
