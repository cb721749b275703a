"""The progress bar and the values beside it."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from lightning import Trainer
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm

from gan_modules import GANModule
from minmax.callbacks import Progress
from tests.gan_modules.helpers import AfterBatch, make_batches, make_model


def test_names_are_short_and_speed_is_a_whole_number() -> None:
    values = {"time/images_per_second": 1234.6, "loss/discriminator": 0.5, "metric/fid_domain": 2.0}
    trainer = SimpleNamespace(loggers=[], progress_bar_metrics=values)
    assert Progress().get_metrics(trainer, None) == {
        "images/s": "1,235",
        "D loss": 0.5,
        "metric/fid_domain": 2.0,
    }


@pytest.mark.parametrize(
    ("terminal", "rate", "redrawn"), [(True, 1, 6), (False, 1, 2), (True, 30, 5)]
)
def test_it_is_redrawn_a_few_times_a_second(
    terminal: bool, rate: int, redrawn: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 500 batches of a millisecond, and at the end of their epoch."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    bar, clock = Progress(rate), iter(range(1000, 1500))
    monkeypatch.setattr("minmax.callbacks.progress.perf_counter", lambda: next(clock) / 1000)
    drawn = [batch for batch in range(1, 501) if bar._should_update(batch, 500)]
    assert (len(drawn), drawn[0], drawn[-1]) == (redrawn, rate, 500)


def test_it_ends_with_the_last_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a training that ends within an epoch, at once after a redraw."""

    def stop(model: GANModule) -> None:
        model.trainer.should_stop = model.trainer.global_step == 3

    monkeypatch.setattr("minmax.callbacks.progress.perf_counter", lambda: 0.0)
    bar = Progress()
    trainer = Trainer(
        accelerator="cpu", callbacks=[bar, AfterBatch(stop)], max_epochs=1,
        logger=False, enable_checkpointing=False, enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(make_model(), make_batches(8))
    assert bar.train_progress_bar.n == 3


@pytest.mark.parametrize(
    ("limits", "total"),
    [
        ({"max_epochs": 2}, 8),
        ({"max_epochs": -1, "max_steps": 13}, 5),
        ({"max_epochs": -1, "max_steps": 17}, 8),
    ],
)
def test_a_run_that_goes_on_within_an_epoch_shows_that_epoch(
    limits: dict[str, int], total: int, tmp_path: Path
) -> None:
    """Its batches so far don't count as trained in the seconds since."""
    fitted = partial(
        Trainer, accelerator="cpu", logger=False, enable_checkpointing=False,
        enable_model_summary=False,
    )  # fmt: skip

    def save(model: GANModule) -> None:
        if model.trainer.fit_loop.total_batch_idx == 10:
            model.trainer.save_checkpoint(tmp_path / "third.ckpt")

    fitted(max_epochs=2, callbacks=[AfterBatch(save)]).fit(make_model(), make_batches(8))
    shown: list[tuple[str, int, int, int]] = []

    def look(model: GANModule) -> None:
        tqdm = bar.train_progress_bar
        shown.append((tqdm.desc, tqdm.initial, tqdm.n, tqdm.total))

    bar = Progress()
    fitted(callbacks=[bar, AfterBatch(look)], **limits).fit(
        make_model(), make_batches(8), ckpt_path=tmp_path / "third.ckpt", weights_only=True
    )
    assert shown[0] == ("Epoch 1: ", 3, 4, total)


def test_the_next_epoch_does_not_begin_with_a_negative_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bar is redrawn when it is set to 0, for which a resumed epoch began later."""

    def save(model: GANModule) -> None:
        if model.trainer.fit_loop.total_batch_idx == 2:
            model.trainer.save_checkpoint(tmp_path / "third.ckpt")

    fitted = partial(
        Trainer, accelerator="cpu", max_epochs=2, logger=False, enable_checkpointing=False,
        enable_model_summary=False,
    )  # fmt: skip
    fitted(callbacks=[AfterBatch(save)]).fit(make_model(), make_batches(8))
    drawn: list[int] = []
    monkeypatch.setattr(Tqdm, "display", lambda bar, *_, **__: drawn.append(bar.n - bar.initial))
    fitted(callbacks=[Progress()]).fit(
        make_model(), make_batches(8), ckpt_path=tmp_path / "third.ckpt", weights_only=True
    )
    assert min(drawn) == 0
