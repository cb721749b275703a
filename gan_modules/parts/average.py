"""Averages of the generator's weights over the training.

Two kinds, both counted in images, so that they mean the same at every batch size:

- exponential, by half-life (Yazici et al. 2019, https://arxiv.org/abs/1806.04498), which is shorter
  at the start (Karras et al. 2020, https://github.com/NVlabs/stylegan2-ada-pytorch);
- power functions of time, by relative width (Karras et al. 2024, https://arxiv.org/abs/2312.02696,
  section 3.1). Of these, averages of other widths can be made after the training
  (`minmax/generation/post_hoc.py`).
"""

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gan_modules.networks.spectral import Spectral, power_iterate
from gan_modules.parts.schedules import Schedule
from minmax.errors import UserError

STATISTICS = ("running_mean", "running_var")
"""Last parts of the names of buffers that are averaged."""
WIDEST = 12**-0.5
"""Relative width of the mean of all weights, whose power is 0."""


def ema_copy(network: nn.Module) -> nn.Module:
    """A frozen copy that will hold the average."""
    return copy.deepcopy(network).requires_grad_(False).eval()


def half_life_share(batch_images: int, images_seen: int, half_life: int | Schedule) -> float:
    """How far an exponential average moves towards the network in a batch, from 0 to 1.

    A number as half-life is at most a twentieth of the images seen, so that the average soon
    forgets the first weights. A schedule is taken as it is; at 0 the average is the network itself.

    Args:
        batch_images: images of the batch.
        images_seen: images of the training so far, the batch included.
        half_life: in images; a number after this ramp-up.
    """
    if isinstance(half_life, Schedule):
        images = half_life.at(images_seen)
    else:
        images = min(half_life, images_seen / 20)
    return 1 - 0.5 ** (batch_images / images) if images > 0 else 1.0


def power_share(batch_images: int, images_seen: int, power: float) -> float:
    """The same for a power function: the weights at a time t count as t to this power.

    The first batch's weights replace those that no batch has trained.
    """
    return 1 - (1 - batch_images / images_seen) ** (power + 1)


def power_of(width: float, name: str = "`ema_widths`") -> float:
    """The power g of an average of this relative width (Karras et al. 2024, section 3.1).

    The width is the profile's standard deviation over the length of the training, `width^2 =
    (g + 1) / ((g + 2)^2 (g + 3))`: a cubic equation of g, whose greatest root is wanted.

    Args:
        width: from 0.001 to `WIDEST`.
        name: of the option, for the message.

    Raises:
        UserError: no average has this width.
    """
    if not 0.001 <= width <= WIDEST:
        raise UserError(
            f"{name} must lie between 0.001 and {WIDEST:.3f} (the mean of all weights), got {width}"
        )
    inverse = width**-2
    roots = np.polynomial.Polynomial([12 - inverse, 16 - inverse, 7, 1]).roots()
    return max(0.0, float(roots.real.max()))


def averaged_state(network: nn.Module) -> dict[str, Tensor]:
    """What is averaged, by name: all weights, and running statistics."""
    buffers = {name: b for name, b in network.named_buffers() if name.endswith(STATISTICS)}
    return dict(network.named_parameters()) | buffers


@torch.no_grad()
def ema_update(average: nn.Module, network: nn.Module, share: Tensor) -> None:
    """Move the average towards the network.

    Running statistics are averaged as the weights are, since those of the network belong to its own
    weights (docs/options.md has what this changes). Spectral norm iterates on the averaged weights.
    All other buffers are copied.

    Args:
        average: what `ema_copy` made of the network; changed in place.
        network: the network in training.
        share: how far, from 0 to 1; a 0-dim tensor.
    """
    held, new = averaged_state(average), averaged_state(network)
    shares: Any = [share] * len(held)
    torch._foreach_lerp_([*held.values()], [*new.values()], shares)
    spectral = [layer for layer in average.modules() if isinstance(layer, Spectral)]
    own = {id(vector) for layer in spectral for vector in (layer.u, layer.v)}
    for (name, averaged), buffer in zip(average.named_buffers(), network.buffers(), strict=True):
        if name not in held and id(averaged) not in own:
            averaged.copy_(buffer)
    if spectral:
        power_iterate(average, 1)
