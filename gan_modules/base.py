"""What all variants share: construction, latents, the EMA, freezing, counting, logging.

The training step is not here: each variant writes its own, whole.
"""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Self, cast

import numpy as np
import torch
from lightning import LightningModule
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import Optimizer

from gan_modules.described import hyperparameters_of
from gan_modules.ema import ema_copy, ema_half_lives, ema_update
from gan_modules.position import begin_epoch, settle
from gan_modules.precision import refuse_precision
from minmax.errors import UserError

Batch = tuple[Tensor, Tensor]
"""Real images `[N, C, H, W]` in [-1, 1], and their labels, int64 `[N]`."""

OptimizerFactory = Callable[[Any], Optimizer]
"""Makes an optimizer of an iterable of parameters."""


class UncountedOptimizer:
    """An optimizer whose steps don't raise `trainer.global_step`.

    Lightning counts every step of every optimizer; with only the adversary's counted, one
    a batch, `global_step`, `max_steps` and `every_n_train_steps` count batches.
    """

    def __init__(self, optimizer: LightningOptimizer) -> None:
        self.optimizer = optimizer.optimizer
        self._strategy = optimizer._strategy

    def step(self) -> None:
        """Step through the strategy, with its precision plugin and all hooks."""
        assert self._strategy is not None, "the optimizer is not attached to a trainer"
        self._strategy.optimizer_step(self.optimizer, closure=lambda: None)

    def zero_grad(self) -> None:
        """Drop all gradients."""
        self.optimizer.zero_grad()


class GANModule(LightningModule):
    """Base of all variants.

    Args:
        generator: the generator, already built.
        adversary: the discriminator or critic, already built; kept under `adversary_name`.
        generator_optimizer: makes the generator's optimizer.
        adversary_optimizer: makes the adversary's.
        latent_dim: length of a latent.
        num_classes: number of classes of the data.
        ema_half_life_images: number of images after which the generator's old weights
            count half in its exponential moving average, less at the start; 0 means none.
        adversary_steps: adversary updates, one a batch, for each turn of the generator.
        generator_steps: generator updates in its turn.
        generator_clip_norm: greatest norm of all the generator's gradients together; longer ones
            are shortened to it before each of its updates. 0 is off.
        adversary_clip_norm: likewise of the adversary's.

    Attributes:
        observed: the newest scalars of the step by log name, logged at the interval.
        logging_due: whether this batch is logged; what only the log needs can wait for it.
        images_seen: real images trained on so far, the current batch included, all ranks.
    """

    adversary_name = "discriminator"
    conditional = False

    def __init__(
        self,
        generator: nn.Module,
        adversary: nn.Module,
        generator_optimizer: OptimizerFactory,
        adversary_optimizer: OptimizerFactory,
        latent_dim: int,
        num_classes: int,
        ema_half_life_images: int,
        adversary_steps: int = 1,
        generator_steps: int = 1,
        generator_clip_norm: float = 0.0,
        adversary_clip_norm: float = 0.0,
    ) -> None:
        super().__init__()
        counts = {
            "latent_dim": latent_dim,
            f"{self.adversary_name}_steps": adversary_steps,
            "generator_steps": generator_steps,
        }
        for name, count in counts.items():
            if count < 1:
                raise UserError(f"--model.init_args.{name} must be at least 1, got {count}")
        if ema_half_life_images < 0:
            raise UserError(
                "--model.init_args.ema_half_life_images must be 0 (off) or more, got "
                f"{ema_half_life_images}"
            )
        self.clip_norms = generator_clip_norm, adversary_clip_norm
        for network, norm in zip(self._network_names, self.clip_norms, strict=True):
            if not 0 <= norm < math.inf:
                raise UserError(
                    f"--model.init_args.{network}_clip_norm must be 0 (off) or more, got {norm}"
                )
        self.automatic_optimization = False
        self.generator = generator
        setattr(self, self.adversary_name, adversary)
        self.generator_ema = ema_copy(generator) if ema_half_life_images > 0 else None
        self.generator_optimizer = generator_optimizer
        self.adversary_optimizer = adversary_optimizer
        self.latent_dim = latent_dim
        self.num_classes = num_classes
        self.ema_half_life_images = ema_half_life_images
        self.adversary_steps = adversary_steps
        self.generator_steps = generator_steps
        self.images_seen = 0
        self.observed: dict[str, Tensor] = {}
        self.logging_due = False
        self._clock = (0.0, 0)

    # Images

    @property
    def _weight_type(self) -> torch.dtype:
        return cast(torch.dtype, self.dtype)

    def sample_latent(self, count: int) -> Tensor:
        """Latents `[count, latent_dim]` from N(0, 1)."""
        return torch.randn(count, self.latent_dim, dtype=self._weight_type, device=self.device)

    def seeded_latents(self, count: int, seed: int = 0) -> Tensor:
        """Latents `[count, latent_dim]` that are the same ones for a seed, on every machine."""
        random = torch.Generator().manual_seed(seed)
        latents = torch.randn(count, self.latent_dim, generator=random, dtype=torch.float32)
        return latents.to(self.device)

    def sample_labels(self, count: int) -> Tensor:
        """Classes `[count]`, each equally likely."""
        return torch.randint(self.num_classes, (count,), device=self.device)

    def generator_input(self, latent: Tensor, labels: Tensor | None) -> Tensor:
        """What the generator is fed: here the latents alone."""
        return latent

    def forward(self, latent: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images `[N, C, H, W]` of the generator as it is being trained."""
        latent = latent.to(self._weight_type)
        images: Tensor = self.generator(self.generator_input(latent, labels))
        return images

    @torch.no_grad()
    def sample(self, latent: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images `[N, C, H, W]` of the averaged generator if there is one, in eval mode."""
        network = self.generator if self.generator_ema is None else self.generator_ema
        was_training = network.training
        network.eval()
        try:
            latent = latent.to(self._weight_type)
            images: Tensor = network(self.generator_input(latent, labels))
        finally:
            network.train(was_training)
        return images.float()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Nothing: callbacks draw samples and score them."""

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Nothing: callbacks draw samples and score them."""

    # Updates

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The generator's optimizer first, the adversary's second."""
        adversary: nn.Module = getattr(self, self.adversary_name)
        return [
            self.generator_optimizer(self.generator.parameters()),
            self.adversary_optimizer(adversary.parameters()),
        ]

    def both_optimizers(self) -> tuple[UncountedOptimizer, LightningOptimizer]:
        """The generator's and the adversary's optimizer; only the latter's steps are counted."""
        generator, adversary = cast(list[LightningOptimizer], self.optimizers())
        return UncountedOptimizer(generator), adversary

    def generator_updates_due(self) -> int:
        """Generator updates after the adversary's update of this batch."""
        return 0 if self.trainer.global_step % self.adversary_steps else self.generator_steps

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Differentiate outside autocast, so that a penalty's second derivative is float32."""
        with torch.autocast(self.device.type, enabled=False):
            super().backward(loss, *args, **kwargs)

    @contextmanager
    def updating(self, network: nn.Module) -> Iterator[None]:
        """Freeze every other network, so that a backward pass spends nothing on its weights."""
        frozen = [
            parameter
            for child in self.children()
            if child is not network
            for parameter in child.parameters()
            if parameter.requires_grad
        ]
        for parameter in frozen:
            parameter.requires_grad_(False)
        try:
            yield
        finally:
            for parameter in frozen:
                parameter.requires_grad_(True)

    # Counting and random numbers

    def on_fit_start(self) -> None:
        """Take the seed of all random numbers; let logs fall on the generator's turns."""
        refuse_precision(str(self.trainer.precision))
        turns = math.ceil(self.trainer.log_every_n_steps / self.adversary_steps)  # type: ignore[attr-defined]
        self.trainer.log_every_n_steps = turns * self.adversary_steps  # type: ignore[attr-defined]
        self._seed = int(os.environ.get("PL_GLOBAL_SEED", torch.initial_seed() % 2**32))

    def on_train_start(self) -> None:
        """Start the clock of images per second."""
        begin_epoch(self.trainer)
        self._clock = perf_counter(), self.images_seen

    def on_validation_start(self) -> None:
        """Take rank 0's running statistics of batch norm, so that all ranks draw with the same.

        In manual optimization nothing else shares them. Trainings don't use them.
        """
        if self.trainer.world_size > 1:
            for buffer in self.buffers():
                torch.distributed.broadcast(buffer, 0)

    def on_validation_end(self) -> None:
        """Start the clock anew: validation is not training."""
        self._clock = perf_counter(), self.images_seen

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Count the batch, and make its random numbers a function of (seed, images, rank)."""
        self._batch_images = len(batch[0]) * self.trainer.world_size
        self.images_seen += self._batch_images
        entropy = np.random.SeedSequence([self._seed, self.images_seen, self.global_rank])
        seed = int(entropy.generate_state(1, np.uint64)[0])
        # torch.manual_seed formats a traceback for each kind of absent device: 0.5 ms.
        torch.default_generator.manual_seed(seed)
        if self.device.type != "cpu":
            torch.get_device_module(self.device).manual_seed(seed)
        interval: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        self.logging_due = interval > 0 and (self.trainer.global_step + 1) % interval == 0

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the count of images, what the classes are called, and options as plain values."""
        checkpoint["images_seen"] = self.images_seen
        arguments = checkpoint.get(self.CHECKPOINT_HYPER_PARAMS_KEY, {})
        if "_instantiator" not in arguments:  # built in Python, not by the command line
            described = hyperparameters_of(type(self), arguments)
            checkpoint[self.CHECKPOINT_HYPER_PARAMS_KEY] = described
            for state in checkpoint.get("optimizer_states", []):
                for group in state["param_groups"]:
                    group |= {n: v.item() for n, v in group.items() if isinstance(v, np.generic)}
        datamodule = getattr(self.trainer, "datamodule", None)
        checkpoint["class_names"] = list(getattr(datamodule, "class_names", []))

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: Any,
        map_location: Any = None,
        hparams_file: Any = None,
        strict: bool | None = None,
        weights_only: bool | None = None,
        **kwargs: Any,
    ) -> Self:
        """As Lightning's; it asks for what was given in Python and a checkpoint can't hold.

        Raises:
            ValueError: such an argument is missing.
        """
        held = torch.load(checkpoint_path, map_location="meta", weights_only=weights_only)
        missing = held.get(cls.CHECKPOINT_HYPER_PARAMS_KEY, {}).get("_undescribed", [])
        missing = [f"{name}=..." for name in missing if name not in kwargs]
        if missing:
            raise UserError(
                f"{checkpoint_path} was trained with Python objects that have no import path: give "
                f"them again, {cls.__name__}.load_from_checkpoint(path, {', '.join(missing)})"
            )
        if hasattr(checkpoint_path, "seek"):
            checkpoint_path.seek(0)
        return super().load_from_checkpoint(
            checkpoint_path, map_location, hparams_file, strict, weights_only, **kwargs
        )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the count of images; have the training go on where it stands.

        Weights are taken as they are, float64 not by way of float32.
        """
        if self._trainer is not None:
            self._trainer.precision_plugin.convert_module(self)
        self.images_seen = checkpoint["images_seen"]
        if "loops" in checkpoint:
            settle(checkpoint["loops"]["fit_loop"])

    # The end of a batch

    def finish_batch(self, real_logits: Tensor, fake_logits: Tensor) -> None:
        """Update the average of the generator and, at the logging interval, log the batch.

        Args:
            real_logits: of the real images in the adversary's update, `[N]`.
            fake_logits: of the generated images in it, `[M]`.
        """
        if self.generator_ema is not None:
            half_lives = ema_half_lives(
                self._batch_images, self.images_seen, self.ema_half_life_images
            )
            ema_update(self.generator_ema, self.generator, half_lives)
        if not self.logging_due:
            return
        clock, self._clock = self._clock, (perf_counter(), self.images_seen)
        values: dict[str, Tensor | float] = {
            "step": float(self.images_seen),
            "accuracy/real": (real_logits > 0).float().mean(),
            "accuracy/fake": (fake_logits < 0).float().mean(),
            "logits/real": real_logits.float().mean(),
            "logits/fake": fake_logits.float().mean(),
            "time/images_per_second": (self._clock[1] - clock[1]) / (self._clock[0] - clock[0]),
        }
        for name, optimizer in zip(self._network_names, self.trainer.optimizers, strict=True):
            values[f"learning_rate/{name}"] = optimizer.param_groups[0]["lr"]
        for name, value in (values | self.observed).items():
            value = value.detach() if isinstance(value, Tensor) else value
            in_progress_bar = name.startswith("loss/") or name == "time/images_per_second"
            self.log(name, value, in_progress_bar, sync_dist=self.trainer.world_size > 1)

    @property
    def _network_names(self) -> tuple[str, str]:
        return "generator", self.adversary_name

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Note the norm of the gradients, their scaling undone; then clip them."""
        index = self.trainer.optimizers.index(optimizer)
        limit = self.clip_norms[index]
        if not (limit or self.logging_due):
            return
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
            scaler.unscale_(optimizer)  # which a fused optimizer would do in its step only
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        norm = nn.utils.get_total_norm([w.grad for w in weights if w.grad is not None])
        if self.logging_due:
            self.observed[f"gradient_norm/{self._network_names[index]}"] = norm
        if limit:
            nn.utils.clip_grads_with_norm_(weights, limit, norm)
