"""How every variant is built, draws images, and updates one network at a time.

The training step is not here: each variant writes its own, whole.
"""

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, cast

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import LBFGS, Optimizer, SparseAdam

from gan_modules.bookkeeping.around_steps import Batch, Bookkeeping
from gan_modules.bookkeeping.kept import Kept
from gan_modules.networks import Discriminator, Generator
from gan_modules.parts.augment import Augment, Unchanged
from gan_modules.parts.batches import SeparateBatches
from gan_modules.parts.classes import UniformClasses
from gan_modules.parts.games import Game
from gan_modules.parts.penalty import NoPenalty, Penalty
from gan_modules.parts.schedules import OptimizerSchedule, Schedule, ends_of, take_more_steps
from gan_modules.parts.turn import Turn
from minmax.errors import UserError
from minmax.image_sizes import Size

__all__ = ["Batch", "GANModule", "OptimizerFactory", "UncountedOptimizer", "at_least"]

MOST_CLASSES = 100
"""Most classes of which each has a row in pictures, and scores of its own."""

OptimizerFactory = Callable[[Any], Optimizer]
"""Makes an optimizer for an iterable of parameters."""


class UncountedOptimizer:
    """An optimizer whose steps don't raise `trainer.global_step`.

    Lightning counts the steps of all optimizers. Here it counts only the discriminator's, one per
    batch, so that `global_step`, `max_steps` and `every_n_train_steps` count batches.
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


class GANModule(Bookkeeping, Kept):
    """Base of all variants.

    A variant declares only its own options and passes the others on as `**shared`.

    Args:
        generator: builds the generator from (latent_dim, channels, image_size, num_classes).
        discriminator: builds the discriminator from (channels, image_size, num_classes).
        generator_optimizer: makes the optimizer of the generator's parameters. DCGAN's paper: Adam,
            learning rate 2e-4, betas (0.5, 0.999). WGAN-GP's paper: 1e-4, betas (0, 0.9).
        discriminator_optimizer: the same for the discriminator.
        channels: channels of the images; linked to the data.
        image_size: of the images in pixels; linked to the data.
        num_classes: number of classes; linked to the data.
        latent_dim: length of a latent. DCGAN's paper: 100.
        discriminator_steps: discriminator updates, one per batch, for each turn of the generator.
        generator_steps: generator updates per turn.
        ema_half_life_images: half-life, in images, of the generator's weights in their exponential
            moving average. A number is shorter at the start, and 0 is off; a schedule is taken as
            it is. A list keeps several averages; the first draws pictures and is scored.
        ema_widths: relative widths of averages by power functions of time, kept beside these, from
            which `cli.py average` makes others after the training. EDM2's paper: 0.05, 0.10.
        generator_clip_norm: greatest L2 norm of all the generator's gradients together; they are
            scaled down to it before each update. 0 is off.
        discriminator_clip_norm: the same for the discriminator.
        generator_schedule: learning rate and betas of the generator's optimizer over the images
            seen; none leaves them as the optimizer was made.
        discriminator_schedule: the same for the discriminator.
        asked_classes: which classes the generator is asked for; none means each equally often.

    Attributes:
        step_share: see `Penalty.step_share`; a variant with a penalty sets it.
        generator_step_share: the same for the generator's optimizer.
        augment: change of all images that the discriminator sees; a variant may set its own.
        batches: how real and generated images reach the discriminator; likewise.
    """

    generator: Generator
    discriminator: Discriminator
    no_classes: Tensor
    _average: int | None = None
    step_share = 1.0
    generator_step_share = 1.0

    def __init__(
        self,
        generator: Callable[[int, int, Any, int], Generator],
        discriminator: Callable[[int, Any, int], Discriminator],
        generator_optimizer: OptimizerFactory,
        discriminator_optimizer: OptimizerFactory,
        channels: int,
        image_size: Size,
        num_classes: int,
        latent_dim: int = 100,
        discriminator_steps: int = 1,
        generator_steps: int = 1,
        ema_half_life_images: int | Schedule | list[int | Schedule] = 0,
        ema_widths: list[float] | None = None,
        generator_clip_norm: float = 0.0,
        discriminator_clip_norm: float = 0.0,
        generator_schedule: OptimizerSchedule | None = None,
        discriminator_schedule: OptimizerSchedule | None = None,
        asked_classes: UniformClasses | None = None,
    ) -> None:
        super().__init__(discriminator_steps, (generator_clip_norm, discriminator_clip_norm))
        with warnings.catch_warnings():  # about parts, which are modules
            warnings.simplefilter("ignore")
            self.save_hyperparameters()
        at_least(1, latent_dim=latent_dim, generator_steps=generator_steps)
        at_least(1, discriminator_steps=discriminator_steps)
        if len({*(ema_widths or [])}) < len(ema_widths or []):
            raise UserError(f"`ema_widths` {ema_widths} has a width twice: leave one out")
        at_least(0, generator_clip_norm=generator_clip_norm)
        at_least(0, discriminator_clip_norm=discriminator_clip_norm)
        self.automatic_optimization = False
        self.generator = generator(latent_dim, channels, image_size, num_classes)
        self.discriminator = discriminator(channels, image_size, num_classes)
        self.generator_optimizer = generator_optimizer
        self.discriminator_optimizer = discriminator_optimizer
        nothing = OptimizerSchedule()
        self.schedules = (generator_schedule or nothing, discriminator_schedule or nothing)
        self.augment: Augment = Unchanged()
        self.batches = SeparateBatches()
        self.latent_dim = latent_dim
        self.num_classes = num_classes
        self.generator_steps = generator_steps
        self.ema_half_life_images = ema_half_life_images
        self.ema_widths = ema_widths
        given = ema_half_life_images
        half_lives = given if isinstance(given, list) else [given]
        for half_life in half_lives:
            at_least(0, ema_half_life_images=min(ends_of(half_life)))
        self.average_generator([kept for kept in half_lives if kept], ema_widths or [])
        self.register_buffer("no_classes", torch.tensor(0), persistent=False)
        self._check_classes(asked_classes)
        self.asked_classes = asked_classes or UniformClasses()
        self.asked_classes.prepare(num_classes)

    def on_fit_start(self) -> None:
        """Learn which classes to ask for.

        Raises:
            UserError: an augmentation of images is among the parts, and the data are points; or
                `asked_classes` is given in a game that pairs images.
        """
        super().on_fit_start()
        if self.game.pairs and type(self.asked_classes) is not UniformClasses:
            raise UserError(
                f"`asked_classes` plays no part in {type(self.game).__name__}, whose images have "
                "the classes of the real ones that they are compared with: leave it out"
            )
        for part in self.modules() if self.generator.of_points else ():
            if isinstance(part, Augment) and not part.of_points:
                raise UserError(
                    f"{type(part).__name__} changes images, and these data are points in the "
                    "plane: leave out `augment`, or the `penalty` that it is in, or choose "
                    "InstanceNoise"
                )
        self.asked_classes.learn(getattr(self.trainer, "datamodule", None))

    def _check_classes(self, asked_classes: UniformClasses | None) -> None:
        """Refuse what needs classes if the data or the generator has none."""
        if not self.conditional and asked_classes is not None:
            raise UserError(
                f"`asked_classes` {type(asked_classes).__name__}: `generator` "
                f"{type(self.generator).__name__} draws without classes. Leave `asked_classes` out,"
                " or choose a generator that draws by class"
            )
        if not self.conditional and self.discriminator.conditional:
            raise UserError(
                f"`discriminator` {type(self.discriminator).__name__} judges images by their "
                f"classes, and `generator` {type(self.generator).__name__} draws without: choose "
                "two networks that agree"
            )
        if self.conditional and self.num_classes < 2:
            raise UserError(
                f"{type(self).__name__} needs data of at least 2 classes, and this data has "
                f"{self.num_classes}: `generator` {type(self.generator).__name__} draws by class. "
                "Choose labelled data with --data (a folder with one subfolder a class, say), "
                "more `classes`, or networks without classes"
            )

    def take_parts(
        self, game: Game, penalty: Penalty | None = None, augment: Augment | None = None
    ) -> None:
        """Set the parts of a variant, which calls this after its networks are built.

        Args:
            game: the losses of both networks.
            penalty: none means no term.
            augment: none means no change.

        Raises:
            UserError: a part doesn't suit the networks, or the game.
        """
        self.game, self.penalty, self.augment = game, penalty or NoPenalty(), augment or Unchanged()
        self.penalty.check(self.discriminator)
        self.penalty.check_generator(self.generator)
        self.augment.check(game)
        self.step_share = self.penalty.step_share

    # Images

    @property
    def conditional(self) -> bool:
        """Whether the generator draws by class."""
        return self.generator.conditional

    @property
    def _weight_type(self) -> torch.dtype:
        return cast(torch.dtype, self.dtype)

    def sample_latent(self, count: int) -> Tensor:
        """Latents `[count, latent_dim]` from N(0, 1)."""
        return torch.randn(count, self.latent_dim, dtype=self._weight_type, device=self.device)

    def seeded_latents(self, count: int, seed: int = 0) -> Tensor:
        """Latents `[count, latent_dim]`; each depends on the seed and its place alone."""
        random = torch.Generator().manual_seed(seed)
        numbers = count * self.latent_dim
        # torch draws the last 16 numbers in another way if there is no multiple of 16.
        drawn = torch.randn(-(-numbers // 16) * 16, generator=random, dtype=torch.float32)
        return drawn[:numbers].view(count, self.latent_dim).to(self.device)

    def sample_labels(self, count: int) -> Tensor:
        """Classes `[count]` by `asked_classes`; all 0 if the generator ignores them."""
        if not self.conditional:
            return self.no_classes.expand(count)
        return self.asked_classes(count, self.device)

    def labels_beside(self, classes: Tensor, game: Game) -> Tensor:
        """Classes `[N]` for the images that the discriminator sees beside real ones of `classes`.

        They are the same in a game that pairs images, or classes would be told apart, not images.
        """
        if game.pairs and self.conditional:
            return classes
        return self.sample_labels(len(classes))

    def categories_of(self, latents: Tensor) -> Tensor | None:
        """Values int64 `[N]` of a categorical code in latents; none if the variant has no such."""
        return None

    def grid(self, rows: int, columns: int) -> tuple[Tensor, Tensor]:
        """Seeded latents and classes of a picture; a class-conditional one has a row a class."""
        classes = self.classes_of_rows(rows).to(self.device).repeat_interleave(columns)
        return self.seeded_latents(len(classes)), classes

    def classes_of_rows(self, rows: int) -> Tensor:
        """Classes of a picture's rows: all if it is class-conditional, of many only `rows`."""
        if self.conditional and self.num_classes > MOST_CLASSES:
            return torch.arange(rows) * self.num_classes // rows
        return torch.arange(self.num_classes if self.conditional else rows)

    def forward(self, latent: Tensor, classes: Tensor) -> Tensor:
        """Images `[N, C, H, W]` of the generator itself, not of its average."""
        return self.generator(latent.to(self._weight_type), classes)

    @property
    def drawing_network(self) -> nn.Module:
        """The average that `draw_with` chose; else the first one, or the generator without any."""
        return [self.generator, *self.averages][self.average_drawn]

    @property
    def average_drawn(self) -> int:
        """Number of the average that draws; 0 is the generator itself."""
        return min(1, len(self.averages)) if self._average is None else self._average

    def draw_with(self, average: int | None) -> None:
        """Choose which average draws: 1 is the first, 0 the generator itself, None the default.

        Raises:
            UserError: there is no such average.
        """
        if average is not None and not 0 <= average <= len(self.averages):
            raise UserError(
                f"`average` {average}: it keeps {len(self.averages)} of them, so choose from "
                f"0 (the generator itself) to {len(self.averages)}"
            )
        self._average = average

    @property
    def weights_drawn(self) -> str:
        """Which weights draw, in words."""
        number = self.average_drawn
        if number < 2:
            return "averaged generator" if number else "generator"
        return f"averaged generator, average {number}"

    @torch.no_grad()
    def sample(self, latent: Tensor, classes: Tensor) -> Tensor:
        """Images `[N, C, H, W]` of `drawing_network`, in eval mode."""
        network = self.drawing_network
        was_training = network.training
        network.eval()
        try:
            images: Tensor = network(latent.to(self._weight_type), classes)
        finally:
            network.train(was_training)
        return images.float()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Nothing: callbacks draw samples and score them."""

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Nothing: callbacks draw samples and score them."""

    # Updates

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The generator's optimizer first, the discriminator's second."""
        optimizers = [
            self.generator_optimizer(self.generator.parameters()),
            self.discriminator_optimizer(self.discriminator.parameters()),
        ]
        take_more_steps(optimizers[0].param_groups, self.generator_step_share)
        take_more_steps(optimizers[1].param_groups, self.step_share)
        check_optimizers(generator_optimizer=optimizers[0], discriminator_optimizer=optimizers[1])
        for schedule, optimizer in zip(self.schedules, optimizers, strict=True):
            schedule.check(optimizer)
        return optimizers

    def both_optimizers(self) -> tuple[UncountedOptimizer, LightningOptimizer]:
        """The generator's and the discriminator's optimizer; only steps of the second count."""
        generator, discriminator = cast(list[LightningOptimizer], self.optimizers())
        return UncountedOptimizer(generator), discriminator

    def generator_updates_due(self) -> int:
        """Number of generator updates that follow the discriminator's in this batch."""
        return 0 if self.trainer.global_step % self.discriminator_steps else self.generator_steps

    def kind_of_step(self) -> tuple[Any, ...]:
        """All of the host that decides what the coming step does; see `captured.py`.

        A variant whose step asks anything else of `trainer.global_step` adds the answer.
        """
        update = self.trainer.global_step
        parts = (part.kind(update) for part in self.parts())
        # The generator's turn comes before the discriminator's update, or behind it.
        turns = ((update + behind) % self.discriminator_steps == 0 for behind in (False, True))
        observers = self.observers.items() if self.logging_due else ()
        return (self.logging_due, *turns, *parts, *observers)

    def uncounted(self, optimizer: LightningOptimizer) -> UncountedOptimizer:
        """An optimizer whose next step isn't counted."""
        return UncountedOptimizer(optimizer)

    def turn(
        self, real: Tensor, classes: Tensor, latent: Tensor, fake: Tensor, asked: Tensor
    ) -> Turn:
        """The discriminator's update, as penalties see it."""
        return Turn(
            discriminator=self.discriminator,
            generator=self.generator,
            real=real,
            classes=classes,
            latent=latent,
            fake=fake.detach(),
            asked=asked,
            augment=self.augment,
            batches=self.batches,
            update=self.trainer.global_step,
        )

    def descend(self, optimizer: UncountedOptimizer | LightningOptimizer, loss: Tensor) -> None:
        """Take a step by the gradients of this loss alone."""
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Differentiate outside autocast, so that a penalty's second derivative is float32.

        Only weights that aren't frozen get gradients, and not the images that a penalty watches.
        """
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        with torch.autocast(self.device.type, enabled=False):
            super().backward(loss, *args, inputs=trained, **kwargs)

    @contextmanager
    def updating(self, *networks: nn.Module) -> Iterator[None]:
        """Freeze every other network, so that a backward pass spends nothing on its weights."""
        frozen = [
            parameter
            for child in self.children()
            if child not in networks
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


def check_optimizers(**options: Optimizer) -> None:
    """Refuse optimizers that can't take a step here.

    Raises:
        UserError: there is one.
    """
    for name, optimizer in options.items():
        kind = type(optimizer).__name__
        if isinstance(optimizer, LBFGS | SparseAdam):
            raise UserError(
                f"`{name}` {kind} can't train these networks (LBFGS computes the loss again in a "
                "step, and SparseAdam takes sparse gradients only): choose torch.optim.Adam, say"
            )
        if any(group.get("differentiable") for group in optimizer.param_groups):
            raise UserError(
                f"`{name}` {kind} with differentiable: true can't step, since nothing "
                "differentiates its steps: leave differentiable out"
            )


def at_least(least: Literal[0, 1], **options: float) -> None:
    """Refuse options that are less than `least` or not finite.

    Raises:
        UserError: an option is.
    """
    for name, value in options.items():
        if not least <= value < math.inf:
            allowed = "at least 1" if least else "0 (off) or more"
            raise UserError(f"`{name}` must be {allowed}, got {value}")
