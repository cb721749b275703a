"""Variants with networks of 32x32 pixels, their images, and a distance between weights."""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from datamodules.loader import EpochShuffle, ResidentLoader
from gan_modules import ACGAN, GAN, R3GAN, WGANGP, GANModule, StyleGAN2
from gan_modules.networks import (
    ACGAN32Discriminator,
    ACGAN32Generator,
    Critic32,
    DCGAN32Generator,
    R3GANDiscriminator,
    R3GANGenerator,
    StyleGAN2Discriminator,
    StyleGAN2Generator,
)
from minmax.benchmarks.driven import Driven

BATCH, CLASSES = 8, 3
VARIANTS: dict[str, type[GANModule]] = {
    variant.__name__: variant for variant in (GAN, ACGAN, WGANGP, R3GAN, StyleGAN2)
}
NETWORKS: dict[str, dict[str, Any]] = {
    "R3GAN": {
        "generator": partial(R3GANGenerator, width=8, conditional=True),
        "discriminator": partial(R3GANDiscriminator, width=8, conditional=True),
    },
    "StyleGAN2": {
        "generator": partial(StyleGAN2Generator, base=64, width=8),
        "discriminator": partial(StyleGAN2Discriminator, base=64, width=8),
    },
}


def sgd(parameters: Any) -> torch.optim.Optimizer:
    """SGD, since Adam's first steps depend only on the signs of the gradients.

    The rate is low: at higher rates batch norm amplifies rounding.
    """
    return torch.optim.SGD(parameters, lr=1e-4)


def build(variant: str, **options: Any) -> GANModule:
    torch.manual_seed(0)

    def classifier(channels: int, image_size: int, classes: int) -> ACGAN32Discriminator:
        return ACGAN32Discriminator(channels, image_size, classes, dropout=0.0)

    shared = {
        "generator": ACGAN32Generator if variant == "ACGAN" else DCGAN32Generator,
        "discriminator": classifier if variant == "ACGAN" else Critic32,
        "generator_optimizer": sgd,
        "discriminator_optimizer": sgd,
        "channels": 1,
        "image_size": 32,
        "num_classes": CLASSES,
        "latent_dim": 6,
        "discriminator_steps": 2 if variant == "WGANGP" else 1,
        "ema_half_life_images": 100 if variant == "GAN" else 0,
    }
    return VARIANTS[variant](**(shared | NETWORKS.get(variant, {}) | options))


def data(channels: int = 1) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    images = torch.randint(256, (20, channels, 32, 32), generator=random, dtype=torch.uint8)
    return images, torch.randint(CLASSES, (20,), generator=random)


def resident(channels: int = 1) -> ResidentLoader:
    return ResidentLoader(*data(channels), BATCH, EpochShuffle(20, BATCH))


def weights(driven: Driven) -> list[Tensor]:
    return [weight.detach().contiguous() for weight in driven.module.parameters()]


def distance(one: list[Tensor], other: list[Tensor]) -> float:
    norms = [(a - b).norm() for a, b in zip(one, other, strict=True)]
    return float(torch.stack(norms).norm())
