"""Exponential moving average of the generator's weights (Yazici et al. 2019).

https://arxiv.org/abs/1806.04498. The decay is given as a half-life in images: unlike a
decay per step, it means the same at every batch size.
"""

import copy

import torch
from torch import nn


def ema_copy(network: nn.Module) -> nn.Module:
    """A frozen copy that will hold the average."""
    return copy.deepcopy(network).requires_grad_(False).eval()


def ema_half_lives(batch_images: int, images_seen: int, half_life_images: int) -> float:
    """Half-lives that pass with a batch.

    The half-life grows with the training until it reaches its length, so that the average
    doesn't hold on to the first weights: it is at most a twentieth of the images seen (the
    ramp-up of Karras et al. 2020, https://github.com/NVlabs/stylegan2-ada-pytorch).

    Args:
        batch_images: images of the batch.
        images_seen: images of the training so far, the batch included.
        half_life_images: the half-life in the end.
    """
    return batch_images / min(half_life_images, images_seen / 20)


@torch.no_grad()
def ema_update(average: nn.Module, network: nn.Module, half_lives: float) -> None:
    """Move the average towards the network by `half_lives`; buffers are copied.

    Args:
        average: what `ema_copy` made of the network; changed in place.
        network: the network in training.
        half_lives: images since the last update, divided by the half-life in images.
    """
    torch._foreach_lerp_(
        list(average.parameters()), list(network.parameters()), 1 - 0.5**half_lives
    )
    for averaged, buffer in zip(average.buffers(), network.buffers(), strict=True):
        averaged.copy_(buffer)
