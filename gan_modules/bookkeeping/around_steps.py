"""What goes on around every training step: counting, random numbers, the average, logging."""

import math
import os
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer

from gan_modules.bookkeeping.position import begin_epoch
from gan_modules.bookkeeping.reseeding import reseed
from gan_modules.parts import CrossEntropy, Game, Part
from gan_modules.parts.average import (
    ema_copy,
    ema_update,
    half_life_share,
    power_of,
    power_share,
)
from gan_modules.parts.schedules import OptimizerSchedule, Schedule
from gan_modules.precision import refuse_precision

Batch = tuple[Tensor, Tensor]
"""Real images `[N, C, H, W]` in [-1, 1], and their classes, int64 `[N]`."""
NETWORKS = ("generator", "discriminator")
"""In the order of their optimizers."""


class Bookkeeping(LightningModule):
    """Counts images, seeds each batch, keeps the generator's averages, and logs.

    Attributes:
        observed: the step's newest scalars by log name, logged at the logging interval.
        observers: functions by log name, set by callbacks in `on_train_start` or later, for one
            training: each gives a scalar on the device, without waiting for it, at the end of a
            logged step; rank 0's is logged.
        logging_due: whether this batch is logged. What only the log needs is computed if so.
        turn_logged: whether a batch of this turn of the generator is.
        logs_later: whether the caller of the step logs it, when it is done (`captured.py`).
        images_seen: real images trained on so far, the current batch included, all ranks.
        rates_times: factor of scheduled learning rates.
        game: says which accuracies are logged; a variant may set its own.
    """

    generator: nn.Module
    generator_ema: nn.Module | None
    other_averages: nn.ModuleDict
    ema_shares: Tensor
    schedules: tuple[OptimizerSchedule, OptimizerSchedule]
    step_share: float
    generator_step_share: float

    def __init__(self, discriminator_steps: int, clip_norms: tuple[float, float]) -> None:
        super().__init__()
        self.discriminator_steps = discriminator_steps
        self.clip_norms = clip_norms
        self.images_seen = self.finished_images = 0
        self.rates_times = 1.0
        self.observed: dict[str, Tensor] = {}
        self.observers: dict[str, Callable[[], Tensor]] = {}
        self.logging_due = self.turn_logged = False
        self.logs_later = False
        self.game: Game = CrossEntropy()
        self._clock = (0.0, 0)
        self._stepped = set[int]()
        self._parts: list[Part] = []

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute. Torch looks for weights in it.

        Lightning's note of the hook that runs, 24 times a batch, is none.
        """
        if name == "_current_fx_name":
            vars(self)[name] = value
        else:
            super().__setattr__(name, value)

    def average_generator(
        self, half_lives: Sequence[int | Schedule], widths: Sequence[float]
    ) -> None:
        """Keep averages of the generator's weights from now on; the first one draws.

        Args:
            half_lives: of exponential averages, in images.
            widths: relative widths of power-function averages, which come after these.
        """
        self._half_lives, self._powers = half_lives, [power_of(width) for width in widths]
        # A checkpoint's names tell the widths: an average can't go on with another one.
        names = [str(index) for index in range(1, len(half_lives))]
        names += [f"width_{width}".replace(".", "_") for width in widths]
        self.generator_ema = ema_copy(self.generator) if half_lives else None
        self.other_averages = nn.ModuleDict({name: ema_copy(self.generator) for name in names})
        shares = torch.zeros(len(self.averages))
        self.register_buffer("ema_shares", shares, persistent=False)
        self._shares: list[float] = []  # what was written there

    @property
    def averages(self) -> list[nn.Module]:
        """All averages of the generator, as `average_generator` orders them."""
        first = [] if self.generator_ema is None else [self.generator_ema]
        return [*first, *self.other_averages.values()]

    def move_averages(self) -> None:
        """Move all averages towards the generator, as far as `begin_batch` has set."""
        for average, share in zip(self.averages, self.ema_shares, strict=True):
            ema_update(average, self.generator, share)

    def on_fit_start(self) -> None:
        """Read the seed; round the logging interval up to the generator's turns."""
        refuse_precision(str(self.trainer.precision))
        self.observed, self.observers = {}, {}
        turns = math.ceil(self.trainer.log_every_n_steps / self.discriminator_steps)  # type: ignore[attr-defined]
        self.trainer.log_every_n_steps = turns * self.discriminator_steps  # type: ignore[attr-defined]
        self._seed = int(os.environ.get("PL_GLOBAL_SEED", torch.initial_seed() % 2**32))

    def teardown(self, stage: str) -> None:
        """Observe nothing more for this training's callbacks."""
        self.observers = {}

    def on_train_start(self) -> None:
        """Start the clock of images per second."""
        begin_epoch(self.trainer)
        self._clock = perf_counter(), self.images_seen

    def on_validation_start(self) -> None:
        """Give all ranks the running statistics of rank 0, so that they draw the same images.

        In manual optimization nothing else shares them. Training steps don't use them.
        """
        if self.trainer.world_size > 1:
            for buffer in self.buffers():
                torch.distributed.broadcast(buffer, 0)

    def on_validation_end(self) -> None:
        """Start the clock anew: validation is not training."""
        self._clock = perf_counter(), self.images_seen

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Count the batch, prepare all parts, and seed the random numbers."""
        if self.logging_due:  # what was logged then isn't the next log's: a lazy term may be old
            for part in self.parts():
                part.observed = {}
        self.begin_batch(len(batch[0]) * self.trainer.world_size)
        reseed(self._seed, self.images_seen, self.global_rank, self.device)
        interval: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        turns, batches = divmod(self.trainer.global_step, self.discriminator_steps)
        turn_end = (turns + 1) * self.discriminator_steps
        self.turn_logged = interval > 0 and turn_end % interval == 0
        self.logging_due = self.turn_logged and batches == self.discriminator_steps - 1

    def begin_batch(self, images: int) -> None:
        """Set all that changes from step to step.

        Args:
            images: number of images of the batch, over all ranks.
        """
        self.images_seen += images
        self._stepped.clear()
        for part in self.parts():
            part.begin(self.images_seen)
        step_shares = self.generator_step_share, self.step_share
        for index, (schedule, share) in enumerate(zip(self.schedules, step_shares, strict=True)):
            optimizer = self.trainer.optimizers[index]
            schedule.apply(optimizer, self.images_seen, share, self.rates_times)
        seen = self.images_seen
        shares = [half_life_share(images, seen, half_life) for half_life in self._half_lives]
        shares += [power_share(images, seen, power) for power in self._powers]
        if shares != self._shares:
            self._shares = shares
            for share, value in zip(self.ema_shares, shares, strict=True):
                share.fill_(value)

    def parts(self) -> list[Part]:
        """The parts of this variant."""
        if not self._parts:
            self._parts = [module for module in self.modules() if isinstance(module, Part)]
        return self._parts

    def finish_batch(self, real_logits: Tensor, fake_logits: Tensor) -> None:
        """Update the averages of the generator and, at the logging interval, log the batch.

        Args:
            real_logits: of the real images in the discriminator's update, `[N]`.
            fake_logits: of the generated images in it, `[M]`.
        """
        self.finished_images = self.images_seen
        self.move_averages()
        if not self.logging_due:
            return
        self.observed |= {
            **self.game.accuracies(real_logits, fake_logits),
            **self.observed_by_callbacks(),
            "logits/real": real_logits.float().mean(),
            "logits/fake": fake_logits.float().mean(),
        }
        if not self.logs_later:
            self.log_batch()

    def observed_by_callbacks(self) -> dict[str, Tensor]:
        """What the observers give on rank 0, such that the mean over the ranks is that.

        A checkpoint has that rank's running statistics: others have their own until they resume.
        """
        if self.global_rank:
            return dict.fromkeys(self.observers, torch.zeros((), device=self.device))
        ranks = self.trainer.world_size
        return {name: observe() * ranks for name, observe in self.observers.items()}

    def log_batch(self) -> None:
        """Log what the batch's step has observed, and what parts have since the last log."""
        clock, self._clock = self._clock, (perf_counter(), self.images_seen)
        values: dict[str, Any] = {
            "time/images_per_second": (self._clock[1] - clock[1]) / (self._clock[0] - clock[0])
        }
        for name, optimizer in zip(NETWORKS, self.trainer.optimizers, strict=True):
            values[f"learning_rate/{name}"] = optimizer.param_groups[0]["lr"]
        for part in self.parts():
            values |= part.observed
        self.hand_out(self.on_host(values | self.observed))

    def log(self, name: str, *given: Any, **options: Any) -> None:
        """Log as Lightning does, but over the images seen."""
        super().log(name, *given, **options)
        trainer = self.trainer
        # Equal on all ranks; avoids a warning.
        synced = not (trainer.world_size == 1 or trainer.training or options.get("rank_zero_only"))
        seen = torch.tensor(self.images_seen, dtype=torch.float64, device=self.device)
        super().log("step", seen, sync_dist=synced)

    def hand_out(self, values: dict[str, float]) -> None:
        """Give values to loggers, callbacks and progress bar.

        Lightning's `log` does so too. But it takes its time for each, and reads those of the
        progress bar from the device again in every batch.
        """
        trainer = self.trainer
        for logger in trainer.loggers:
            logger.log_metrics(values, self.images_seen)
        tensors = {name: torch.tensor(value) for name, value in values.items()}
        trainer.callback_metrics.update(tensors)
        trainer.logged_metrics.update(tensors)
        in_bar = ("loss/", "time/images_per_second")
        shown = {name: v for name, v in values.items() if name.startswith(in_bar)}
        trainer.progress_bar_metrics.update(shown)

    def on_host(self, values: dict[str, Any]) -> dict[str, float]:
        """Numbers as they are, and of scalars, read at once, the means over all ranks."""
        scalars = {n: v.detach() for n, v in values.items() if isinstance(v, Tensor)}
        if not scalars:
            return values
        stacked = torch.stack([value.to(self.device).reshape(()) for value in scalars.values()])
        if self.trainer.world_size > 1:
            stacked = self.trainer.strategy.reduce(stacked, reduce_op="mean")
        return values | dict(zip(scalars, stacked.tolist(), strict=True))

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Unscale the gradients, note the norm of a batch's first ones, and clip them."""
        index = self.trainer.optimizers.index(optimizer)
        limit = self.clip_norms[index]
        # Of the generator, which may be updated in another batch of the turn. A lazy term has a
        # step of its own after the first.
        noted = (self.logging_due if index else self.turn_logged) and index not in self._stepped
        self._stepped.add(index)
        if not (limit or noted):
            return
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
            scaler.unscale_(optimizer)  # a fused optimizer does it in its step only
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        norm = nn.utils.get_total_norm([w.grad for w in weights if w.grad is not None])
        if noted:
            self.observed[f"gradient_norm/{NETWORKS[index]}"] = norm
        if limit:
            nn.utils.clip_grads_with_norm_(weights, limit, norm)
