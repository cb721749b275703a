"""A resumed training sees the images that an uninterrupted one sees, in the same order."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from datamodules import Digits, ImageDataModule


class Recorder(LightningModule):
    """Notes what each batch holds, in the order of its epochs."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[int, int, float]] = []

    def training_step(self, batch: Any, batch_index: int) -> None:
        images, _ = batch
        optimizer = self.optimizers()
        optimizer.step()
        weights = torch.arange(images.numel(), dtype=torch.float64)
        total = (images.contiguous().flatten().double() * weights).sum()
        self.seen.append((self.current_epoch, batch_index, total.item()))

    def validation_step(self, batch: Any, batch_index: int) -> None:
        pass

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.0)


class SaveAt(Callback):
    """Saves one checkpoint in one hook, and says how many batches were seen by then."""

    def __init__(self, hook: str, epoch: int, batch: int | None, path: Path) -> None:
        self.hook, self.epoch, self.batch, self.path = hook, epoch, batch, path
        self.seen = 0

    def save(self, hook: str, trainer: Trainer, module: Recorder, batch: int | None = None) -> None:
        if (hook, trainer.current_epoch, batch) == (self.hook, self.epoch, self.batch):
            self.seen = len(module.seen)
            trainer.save_checkpoint(self.path)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.save("batch", trainer, pl_module, batch_idx)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        self.save("validation", trainer, pl_module)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.save("epoch", trainer, pl_module)


def fit(
    limits: dict[str, Any],
    callbacks: list[Callback],
    checkpoint: Path | None = None,
    data: ImageDataModule | None = None,
) -> list[tuple[int, int, float]]:
    module = Recorder()
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=callbacks,
        **{"max_epochs": 3, **limits},
    )
    path = None if checkpoint is None else str(checkpoint)
    data = data or Digits(image_size=8, batch_size=200)
    trainer.fit(module, datamodule=data, ckpt_path=path)
    return module.seen


@pytest.mark.parametrize(
    "limits",
    [{}, {"limit_train_batches": 5}, {"max_steps": 22, "max_epochs": -1}],
    ids=["whole epochs", "cut epochs", "max_steps"],
)
@pytest.mark.parametrize(
    ("hook", "epoch", "batch"),
    [
        ("batch", 0, 2),
        ("batch", 1, 3),
        ("batch", 1, 0),
        ("batch", 1, -1),
        ("validation", 0, None),
        ("validation", 1, None),
        ("epoch", 0, None),
        ("epoch", 1, None),
    ],
)
def test_resumed_training_sees_what_an_uninterrupted_one_sees(
    tmp_path: Path, limits: dict[str, Any], hook: str, epoch: int, batch: int | None
) -> None:
    if batch == -1:  # the epoch's last one
        batch = limits.get("limit_train_batches", 8) - 1
    saver = SaveAt(hook, epoch, batch, tmp_path / "a.ckpt")
    whole = fit(limits, [saver])
    assert saver.seen > 0
    assert len({total for _, _, total in whole}) == len(whole), "batches must be told apart"
    resumed = fit(limits, [], tmp_path / "a.ckpt")
    assert [total for _, _, total in resumed] == [total for _, _, total in whole[saver.seen :]]
    assert [index for _, index, _ in resumed] == [index for _, index, _ in whole[saver.seen :]]


@pytest.mark.parametrize("limits", [{}, {"max_steps": 22, "max_epochs": -1}])
def test_a_run_may_be_resumed_twice(tmp_path: Path, limits: dict[str, Any]) -> None:
    first = SaveAt("epoch", 0, None, tmp_path / "first.ckpt")
    whole = fit(limits, [first])
    second = SaveAt("batch", 1, 3, tmp_path / "second.ckpt")
    fit(limits, [second], tmp_path / "first.ckpt")
    resumed = fit(limits, [], tmp_path / "second.ckpt")
    assert second.seen == 4
    assert [total for _, _, total in resumed] == [total for _, _, total in whole[12:]]
