"""The progress bar of a run."""

import sys
from time import perf_counter
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar

from minmax.errors import UserError

SHORT_NAMES = {
    "loss/generator": "G loss",
    "loss/discriminator": "D loss",
    "time/images_per_second": "images/s",
}


class Progress(TQDMProgressBar):
    """Losses and images per second beside the bar.

    Args:
        refresh_rate: batches from one redraw to the next; 0 shows no bar. There are ten redraws a
            second at most, since each costs up to half a millisecond, and outside of a terminal
            one, so that files of output stay short.
    """

    def __init__(self, refresh_rate: int = 1) -> None:
        if refresh_rate < 0:
            raise UserError(f"`Progress.refresh_rate` must be at least 0, got {refresh_rate}")
        super().__init__(refresh_rate=refresh_rate, leave=False)
        self._seconds = 0.1 if sys.stdout.isatty() else 1.0
        self._next_redraw = 0.0

    def _should_update(self, current: int, total: int) -> bool:
        due = super()._should_update(current, total)
        now = perf_counter()
        if not due or (now < self._next_redraw and current != total):
            return False
        self._next_redraw = now + self._seconds
        return True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Lightning doesn't say that an epoch starts, where a resumed run goes on within it."""
        super().on_train_start(trainer, pl_module)
        if trainer.fit_loop.restarted_mid_epoch:
            self.on_train_epoch_start(trainer, pl_module)
            bar = self.train_progress_bar
            bar.initial = bar.n = trainer.fit_loop.batch_idx + 1  # the rate counts from here on
            if bar.total is not None:  # Lightning may count those that `max_steps` leaves alone
                bar.total = min(bar.total + bar.n, trainer.num_training_batches)

    def on_train_epoch_start(self, trainer: Trainer, *_: Any) -> None:
        """Forget where a resumed epoch began: the bar is redrawn before Lightning does."""
        self.train_progress_bar.initial = 0
        super().on_train_epoch_start(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Show the epoch's last batch, also where a training ends within it."""
        self.train_progress_bar.n = trainer.fit_loop.batch_idx + 1
        super().on_train_epoch_end(trainer, pl_module)

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """What the module logs for the bar, under short names."""
        metrics: dict[str, Any] = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        if (speed := metrics.get("time/images_per_second")) is not None:
            metrics["time/images_per_second"] = f"{speed:,.0f}"  # tqdm would write 1.1e+3
        return {SHORT_NAMES.get(name, name): value for name, value in metrics.items()}

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """End the bar's line, so that messages about the end appear below it."""
        for bar in (self._train_progress_bar, self._val_progress_bar):
            if bar is not None:
                bar.close()
