"""Exponential moving average of the generator's weights (Yazici et al. 2019).

https://arxiv.org/abs/1806.04498. The decay is given as a half-life in images: unlike a
decay per step, it means the same at every batch size.
"""

import copy
from typing import Any

import torch
from torch import Tensor, nn


def ema_copy(network: nn.Module) -> nn.Module:
    """A frozen copy that will hold the average."""
    return copy.deepcopy(network).requires_grad_(False).eval()


def ema_half_lives(batch_images: int, images_seen: int, half_life_images: int) -> float:
    """Number of half-lives that a batch takes.

    The half-life is at most a twentieth of the images seen, so that the average soon forgets the
    first weights (the ramp-up of Karras et al. 2020,
    https://github.com/NVlabs/stylegan2-ada-pytorch).

    Args:
        batch_images: images of the batch.
        images_seen: images of the training so far, the batch included.
        half_life_images: half-life after the ramp-up, in images.
    """
    return batch_images / min(half_life_images, images_seen / 20)


def ema_share(half_lives: float) -> float:
    """How far the average moves towards the network in this time, from 0 to 1."""
    share: float = 1 - 0.5**half_lives
    return share


@torch.no_grad()
def ema_update(average: nn.Module, network: nn.Module, share: Tensor) -> None:
    """Move the average towards the network; buffers are copied.

    Args:
        average: what `ema_copy` made of the network; changed in place.
        network: the network in training.
        share: how far, from 0 to 1; a 0-dim tensor.
    """
    averages: list[Tensor] = [*average.parameters()]
    shares: Any = [share] * len(averages)
    torch._foreach_lerp_(averages, [*network.parameters()], shares)
    for averaged, buffer in zip(average.buffers(), network.buffers(), strict=True):
        averaged.copy_(buffer)
