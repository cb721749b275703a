"""Small networks and data, models made of them, and a trainer that keeps quiet."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from datamodules import ImageDataModule
from gan_modules import ACGAN, GAN, WGANGP, GANModule
from gan_modules.bookkeeping.around_steps import NETWORKS
from gan_modules.networks import ClassifyingDiscriminator, Discriminator, Generator
from gan_modules.networks.network import one_hot

LATENT, CHANNELS, SIZE, CLASSES = 5, 1, 4, 3
VARIANTS: tuple[type[GANModule], ...] = (GAN, ACGAN, WGANGP)


class TinyGenerator(Generator):
    """Two linear layers with batch norm between them."""

    def __init__(self, latent_dim: int, channels: int, image_size: int, num_classes: int) -> None:
        super().__init__(image_size)
        self.shape = (channels, image_size, image_size)
        self.layers = nn.Sequential(
            # Without a bias, whose gradient before batch norm would be rounding alone.
            nn.Linear(latent_dim, 8, bias=False),
            nn.BatchNorm1d(8),
            nn.LeakyReLU(0.2),
            nn.Linear(8, channels * image_size**2),
            nn.Tanh(),
        )

    def forward(self, latent: Tensor, classes: Tensor) -> Tensor:
        return self.layers(latent).view(-1, *self.shape)


class TinyConditionalGenerator(TinyGenerator):
    """The same with the class as a one-hot vector beside the latent."""

    conditional = True

    def __init__(self, latent_dim: int, channels: int, image_size: int, num_classes: int) -> None:
        super().__init__(latent_dim + num_classes, channels, image_size, num_classes)
        self.num_classes = num_classes

    def forward(self, latent: Tensor, classes: Tensor) -> Tensor:
        inputs = torch.cat([latent, one_hot(classes, self.num_classes, latent)], dim=1)
        return super().forward(inputs, classes)


class TinyStyledGenerator(TinyGenerator):
    """The same behind a mapping that multiplies by a weight, of two styles."""

    styles = 2

    def __init__(self, *sizes: int) -> None:
        super().__init__(*sizes)
        self.factor = nn.Parameter(torch.ones(()))

    def note(self, w: Tensor) -> None:
        pass

    def mapping(self, latent: Tensor, classes: Tensor) -> Tensor:
        return latent * self.factor

    def synthesis(self, styles: Tensor) -> Tensor:
        return self.layers(styles.mean(1)).view(-1, *self.shape)


class TinyDiscriminator(Discriminator):
    """Two linear layers with dropout between them."""

    def __init__(
        self, channels: int, image_size: int, num_classes: int, dropout: float = 0.2
    ) -> None:
        super().__init__(image_size)
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(channels * image_size**2, 8),
            nn.LeakyReLU(0.2),
            nn.Dropout(dropout),
            nn.Linear(8, 1),
        )

    def forward(self, images: Tensor, classes: Tensor) -> Tensor:
        return self.layers(images).squeeze(1)


STEADY = partial(TinyDiscriminator, dropout=0.0)
"""Draws nothing at random."""


class TinyClassifier(ClassifyingDiscriminator):
    """Two heads on one layer with dropout."""

    def __init__(self, channels: int, image_size: int, num_classes: int) -> None:
        super().__init__(image_size)
        self.body = nn.Sequential(
            nn.Flatten(), nn.Linear(channels * image_size**2, 8), nn.LeakyReLU(0.2), nn.Dropout(0.2)
        )
        self.source_head = nn.Linear(8, 1)
        self.class_head = nn.Linear(8, num_classes)

    def heads(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.body(images)
        return self.source_head(features).squeeze(1), self.class_head(features)


def fast_adam(parameters: Iterable[nn.Parameter]) -> Optimizer:
    return Adam(parameters, lr=0.01, betas=(0.5, 0.999))


def slow_adam(parameters: Iterable[nn.Parameter]) -> Optimizer:
    return Adam(parameters, lr=0.002, betas=(0.0, 0.9))


def make_model(variant: type[GANModule] = GAN, seed: int = 0, **options: Any) -> GANModule:
    """A tiny model of a variant, with the same weights whenever the seed is the same."""
    classes = issubclass(variant, ACGAN)
    arguments = {
        "generator": TinyConditionalGenerator if classes else TinyGenerator,
        "discriminator": TinyClassifier if classes else TinyDiscriminator,
        "generator_optimizer": fast_adam,
        "discriminator_optimizer": slow_adam,
        "channels": CHANNELS,
        "image_size": SIZE,
        "num_classes": CLASSES,
        "latent_dim": LATENT,
    }
    torch.manual_seed(seed)
    return variant(**(arguments | options))


class Batches:
    """A loader over batches that are made once. (Lightning takes a list for many loaders.)"""

    def __init__(self, batches: list[tuple[Tensor, Tensor]]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(self.batches)


def make_batches(count: int, batch_size: int = 8, size: int = SIZE) -> Batches:
    """The same batches of images and labels at every call."""
    random = torch.Generator().manual_seed(42)
    return Batches(
        [
            (
                torch.rand(batch_size, CHANNELS, size, size, generator=random) * 2 - 1,
                torch.randint(CLASSES, (batch_size,), generator=random),
            )
            for _ in range(count)
        ]
    )


class TinyImages(ImageDataModule):
    """Four batches of eight images, and three images that find no place in them."""

    def __init__(self) -> None:
        names = [f"class {label}" for label in range(CLASSES)]
        super().__init__(names, SIZE, CHANNELS == 1, batch_size=8)

    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        count, random = 35 if train else 12, torch.Generator().manual_seed(43 + train)
        pixels = torch.randint(256, (count, CHANNELS, SIZE, SIZE), generator=random)
        labels = torch.randint(CLASSES, (count,), generator=random)
        return pixels.to(torch.uint8), labels


class RecordingLogger(Logger):
    """Keeps what is logged, as pairs of the x axis' value and the scalars."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[tuple[int | None, dict[str, float]]] = []

    @property
    def name(self) -> str:
        return "recording"

    @property
    def version(self) -> int:
        return 0

    def log_hyperparams(self, *arguments: Any, **options: Any) -> None:
        pass

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if self.records and self.records[-1][0] == step:
            self.records[-1][1].update(metrics)
        else:
            self.records.append((step, dict(metrics)))


class AfterBatch(Callback):
    """Calls an action with the model after every batch."""

    def __init__(self, action: Callable[[GANModule], object]) -> None:
        self.action = action

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, *arguments: Any
    ) -> None:
        assert isinstance(pl_module, GANModule)
        self.action(pl_module)


class OptimizerSteps(Callback):
    """Calls `before` and `after` with an optimizer's name around each of its steps."""

    def __init__(
        self,
        before: Callable[[GANModule, str], object] | None = None,
        after: Callable[[GANModule, str], object] | None = None,
    ) -> None:
        self.before, self.after = before, after

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, GANModule)
        for name, optimizer in zip(NETWORKS, trainer.optimizers, strict=True):
            if self.before is not None:
                optimizer.register_step_pre_hook(lambda *_, name=name: self.before(pl_module, name))
            if self.after is not None:
                optimizer.register_step_post_hook(lambda *_, name=name: self.after(pl_module, name))


def make_trainer(
    logger: Logger | None = None, callbacks: Iterable[Callback] = (), **options: Any
) -> Trainer:
    """A trainer on the CPU, without files, bars and summaries."""
    return Trainer(
        accelerator="cpu",
        logger=logger or False,
        callbacks=list(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        **({"enable_checkpointing": False, "max_epochs": 1, "limit_val_batches": 0} | options),
    )


def fit(
    model: GANModule,
    loader: Any,
    callbacks: Iterable[Callback] = (),
    logger: Logger | None = None,
    checkpoint: Any = None,
    **options: Any,
) -> Trainer:
    """Train; the checkpoints of these tests hold Python functions, so they are trusted."""
    trainer = make_trainer(logger, callbacks, **options)
    path = None if checkpoint is None else str(checkpoint)
    trainer.fit(model, loader, ckpt_path=path, weights_only=False if path else None)
    return trainer


def seed_batch(seed: int, images_seen: int, rank: int = 0) -> None:
    """Draw random numbers as the batch that ends at `images_seen` does."""
    entropy = np.random.SeedSequence([seed, images_seen, rank])
    torch.manual_seed(int(entropy.generate_state(1, np.uint64)[0]))


def copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(one: Mapping[Any, Tensor], other: Mapping[Any, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def gradients(network: nn.Module) -> list[Tensor | None]:
    return [None if p.grad is None else p.grad.clone() for p in network.parameters()]


def draws_nothing(action: Callable[[], object]) -> bool:
    before = torch.get_rng_state()
    action()
    return torch.equal(before, torch.get_rng_state())
