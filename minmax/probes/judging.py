"""What the discriminator says of training images, of held-out ones, and of generated ones."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from datamodules import ImageDataModule
from gan_modules import GANModule
from gan_modules.precision import wide

IMAGES = 512
"""Images of each kind: their mean logit is known to 0.05 of the logits' spread."""
SURE = 6.0
"""Standard errors that count as the least difference between training and generated images."""
TINY = 1e-12
"""The same if all logits are equal."""


@contextmanager
def observed_only(*networks: nn.Module) -> Iterator[None]:
    """Let networks compute what they do in training, and remember nothing of it.

    All layers are in eval mode, so that dropout is off and a spectral norm doesn't iterate; only
    batch norm takes the statistics of the batch, as in training. Its running statistics would mix
    real and generated images, which a discriminator never sees.
    """
    modules = [module for network in networks for module in network.modules()]
    modes = [module.training for module in modules]
    norms = [module for module in modules if isinstance(module, _BatchNorm)]
    tracked = [norm.track_running_stats for norm in norms]
    for network in networks:
        network.eval()
    for norm in norms:
        norm.training, norm.track_running_stats = True, False
    try:
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
        for norm, track in zip(norms, tracked, strict=True):
            norm.track_running_stats = track


def some_images(data: ImageDataModule, train: bool, count: int) -> tuple[Tensor, Tensor]:
    """The same images float `[count, C, H, W]` at each call, and classes `[count]`.

    They are as stored, without changes that training makes. Small data are repeated.
    """
    pixels, classes = data.split(train)
    random = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(pixels), generator=random)[torch.arange(count) % len(pixels)]
    images = data.values.shown(pixels[chosen.to(pixels.device)])
    return images, classes[chosen.to(classes.device)]


@torch.no_grad()
def judge(module: GANModule, data: ImageDataModule) -> dict[str, float]:
    """Mean logits, and how far held-out images are taken for generated ones, by log name.

    The latter is r_v of Karras et al. 2020 (https://arxiv.org/abs/2006.06676, equation 1): 0 if
    the discriminator judges held-out images as it does training images, 1 if as generated ones.
    Deviation: of a discriminator at chance, whose ratio would be one of noise, it is near 0.

    Batches are as large as those of the training, for networks that compare the images of one.
    """
    size = data.batch_size
    count = size * max(1, IMAGES // size)
    train, classes = some_images(data, True, count)
    asked = (classes if module.conditional else module.sample_labels(count)).to(module.device)
    held_out = some_images(data, False, count)
    latents = module.seeded_latents(count).to(cast(torch.dtype, module.dtype))
    with observed_only(module.generator, module.discriminator):

        def logits(images: Tensor, labels: Tensor) -> Tensor:
            images, labels = images.to(latents), labels.to(module.device)
            parts = zip(torch.split(images, size), torch.split(labels, size), strict=True)
            return torch.cat([wide(module.discriminator(*part)) for part in parts])

        drawn = [
            module(*part)
            for part in zip(torch.split(latents, size), torch.split(asked, size), strict=True)
        ]
        fake = logits(torch.cat(drawn), asked)
        real, unseen = logits(train, classes), logits(*held_out)
    numbers = [min(count, len(data.split(train)[0])) for train in (True, False)]
    error = (real.var() / numbers[0] + unseen.var() / numbers[1]).sqrt()
    fall, gap = real.mean() - unseen.mean(), real.mean() - fake.mean()
    return {
        "logits/train": float(real.mean()),
        "logits/held_out": float(unseen.mean()),
        "overfitting/held_out": float(fall / torch.maximum(gap, SURE * error).clamp_min(TINY)),
    }
