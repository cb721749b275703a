"""A run's checkpoints: the last one, which can be resumed, and the best one."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer

from gan_modules import GANModule
from minmax.callbacks import BestCheckpoint, LastCheckpoint
from minmax.callbacks.best_checkpoint import best_score
from minmax.callbacks.hooks import GANCallback
from tests.gan_modules.helpers import AfterBatch, TinyImages, copied, equal, make_model

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*LeafSpec.*",
    "ignore:Be aware that when using `ckpt_path`",
    "ignore:.*removed from hparams",
    "ignore:.*Checkpoint directory",
)


def train(
    folder: Path, callbacks: list[Callback], resume: bool = False, **limits: Any
) -> GANModule:
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        callbacks=callbacks,
        default_root_dir=folder,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **limits,
    )
    model = make_model()
    path = str(folder / "checkpoints" / "last.ckpt") if resume else None
    trainer.fit(
        model, datamodule=TinyImages(), ckpt_path=path, weights_only=False if resume else None
    )
    return model


def kept(folder: Path, name: str) -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=False)


@pytest.mark.parametrize(
    ("every_n_epochs", "limits"),
    [
        (1, {"max_epochs": 2}),
        (2, {"max_epochs": 3}),
        (5, {"max_epochs": 3}),
        (1, {"max_epochs": -1, "max_steps": 3}),
        (1, {"max_epochs": -1, "max_steps": 8}),
    ],
)
def test_last_is_the_state_at_the_end(
    tmp_path: Path, every_n_epochs: int, limits: dict[str, int]
) -> None:
    model = train(tmp_path, [LastCheckpoint(every_n_epochs)], **limits)
    checkpoint = kept(tmp_path, "last")
    assert checkpoint["images_seen"] == model.images_seen
    assert checkpoint["class_names"] == ["class 0", "class 1", "class 2"]
    assert equal(copied(model), checkpoint["state_dict"])
    assert [file.name for file in (tmp_path / "checkpoints").iterdir()] == ["last.ckpt"]


@pytest.mark.parametrize("every_n_epochs", [1, 2])
def test_a_crash_loses_no_finished_epochs(tmp_path: Path, every_n_epochs: int) -> None:
    def crash(model: GANModule) -> None:
        if model.images_seen == 3 * 32 + 8:
            raise RuntimeError("out of memory")

    callbacks = [AfterBatch(crash), LastCheckpoint(every_n_epochs)]
    with pytest.raises(RuntimeError, match="out of memory"):
        train(tmp_path, callbacks, max_epochs=9, check_val_every_n_epoch=9)
    assert kept(tmp_path, "last")["images_seen"] == 32 * (3 if every_n_epochs == 1 else 2)


@pytest.mark.parametrize(
    ("every_n_epochs", "limits"),
    [
        (1, {"max_epochs": 2}),
        (2, {"max_epochs": 3}),
        (1, {"max_epochs": -1, "max_steps": 6}),
        (1, {"max_epochs": -1, "max_steps": 8}),
        (2, {"max_epochs": -1, "max_steps": 3}),
        (2, {"max_epochs": -1, "max_steps": 12}),
    ],
)
def test_a_finished_run_can_be_prolonged(
    tmp_path: Path, every_n_epochs: int, limits: dict[str, int]
) -> None:
    longer = {"max_epochs": 5} if "max_steps" not in limits else {"max_epochs": -1, "max_steps": 20}
    whole = train(tmp_path, [LastCheckpoint()], **longer)
    train(tmp_path, [LastCheckpoint(every_n_epochs)], **limits)
    prolonged = train(tmp_path, [LastCheckpoint(every_n_epochs)], resume=True, **longer)
    assert prolonged.images_seen == whole.images_seen == 160
    assert equal(copied(whole), copied(prolonged))


class Score(Callback):
    """Logs given scores, one in each validation."""

    def __init__(self, scores: list[float]) -> None:
        self.scores = iter(scores)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module.log("metric/fid_pixels", next(self.scores))


@pytest.mark.parametrize(("mode", "best"), [("min", 2), ("max", 3)])
def test_best_is_the_state_at_the_best_score(tmp_path: Path, mode: str, best: int) -> None:
    states: list[dict[str, torch.Tensor]] = []
    note = AfterBatch(lambda model: states.append(copied(model)))
    callbacks = [
        note,
        Score([3.0, 1.0, 4.0, 2.0]),
        BestCheckpoint("metric/fid_pixels", mode),
        LastCheckpoint(),
    ]
    train(tmp_path, callbacks, max_epochs=4)
    checkpoint = kept(tmp_path, "best")
    assert checkpoint["images_seen"] == 32 * best
    assert equal(checkpoint["state_dict"], states[4 * best - 1])
    assert kept(tmp_path, "last")["images_seen"] == 128
    names = sorted(file.name for file in (tmp_path / "checkpoints").iterdir())
    assert names == ["best.ckpt", "last.ckpt"]


def test_a_best_that_is_damaged_is_named(tmp_path: Path) -> None:
    assert best_score(tmp_path / "best.ckpt", "key", None) is None
    (tmp_path / "best.ckpt").write_bytes(b"half")
    with pytest.warns(UserWarning, match=r"best\.ckpt is refused.*next score .* replaces it"):
        assert best_score(tmp_path / "best.ckpt", "key", None) is None


class Protocol(GANCallback):
    """Scores of a protocol."""

    score_name = "metric/fid_pixels"
    score_protocol: dict[str, int | str] | None = None

    def __init__(self, protocol: dict[str, int | str] | None) -> None:
        self.score_protocol = protocol


OLD: dict[str, int | str] = {"count": 100, "features": "pixels-1-ab"}


@pytest.mark.parametrize(
    ("before", "now", "changed"),
    [
        (OLD, OLD, None),
        (OLD, OLD | {"count": 200}, "count 100 -> 200"),
        (OLD, {"count": 200, "features": "b"}, "count 100 -> 200, features pixels-1-ab -> b"),
        (None, OLD, None),  # of an earlier version
        (OLD, None, None),
    ],
)
def test_a_score_of_another_protocol_does_not_decide(
    before: Any, now: Any, changed: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr("minmax.callbacks.best_checkpoint.rank_zero_info", lines.append)
    for protocol, score, epochs in ((before, 1.0, 1), (now, 2.0, 2)):
        callbacks = [Score([score]), Protocol(protocol), BestCheckpoint(), LastCheckpoint()]
        train(tmp_path, callbacks, resume=epochs > 1, max_epochs=epochs)
    assert kept(tmp_path, "best")["images_seen"] == (64 if changed else 32)
    assert [line.partition("to come: ")[2] for line in lines] == ([changed] if changed else [])


def test_only_the_first_of_several_ranks_reads_the_best_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("minmax.callbacks.best_checkpoint.best_score")
    sent = SimpleNamespace(broadcast=lambda value: torch.tensor(3.0) if value is None else value)
    best = BestCheckpoint("metric/fid_pixels")
    best.dirpath = str(tmp_path)
    trainer: Any = SimpleNamespace(callbacks=[], is_global_zero=False, strategy=sent)
    best.on_train_start(trainer, make_model())
    assert best.best_model_score == 3
