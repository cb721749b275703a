"""The progress bar and the values beside it."""

from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch.callbacks import TQDMProgressBar

from minmax.callbacks import Progress


def test_names_are_short_and_speed_is_a_whole_number() -> None:
    values = {"time/images_per_second": 1234.6, "loss/discriminator": 0.5, "metric/fid_domain": 2.0}
    trainer = SimpleNamespace(loggers=[], progress_bar_metrics=values)
    assert Progress().get_metrics(trainer, None) == {
        "images/s": "1,235",
        "D loss": 0.5,
        "metric/fid_domain": 2.0,
    }


@pytest.mark.parametrize(("terminal", "redrawn"), [(True, 6), (False, 2)])
def test_it_is_redrawn_a_few_times_a_second(
    terminal: bool, redrawn: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 500 batches of a millisecond, and at the end of their epoch."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    bar, drawn, clock = Progress(), list[int](), iter(range(1000, 1500))
    monkeypatch.setattr(
        TQDMProgressBar, "on_train_batch_end", lambda *given: drawn.append(given[-1])
    )
    monkeypatch.setattr("minmax.callbacks.progress.perf_counter", lambda: next(clock) / 1000)
    for batch in range(500):
        trainer: Any = SimpleNamespace(is_last_batch=batch == 499)
        bar.on_train_batch_end(trainer, trainer, None, None, batch)
    assert len(drawn) == redrawn
    assert (drawn[0], drawn[-1]) == (0, 499)
