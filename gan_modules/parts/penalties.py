"""Penalties on a critic's gradient."""

from collections.abc import Callable

import torch
from torch import Tensor

from gan_modules.precision import widened


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor
) -> tuple[Tensor, Tensor]:
    """E[(|grad_x D(x)| - 1)^2] between real and fake images (Gulrajani et al. 2017, eq. 3).

    Each image has its own epsilon from U[0, 1] and its own norm, over all its pixels.
    Computed in float32 (float64 if the images are), whatever the precision around it: the double
    backward loses percents in bfloat16. https://arxiv.org/abs/1704.00028

    Args:
        critic: maps images to scores `[N]`; must not mix images (no batch norm).
        real: images `[N, C, H, W]`.
        fake: images of the same shape; no gradient flows into them.

    Returns:
        The penalty, a scalar that can be differentiated, and the mean norm, which can't.
    """
    with torch.autocast(real.device.type, enabled=False):
        dtype = widened(real.dtype)
        real, fake = real.detach().to(dtype), fake.detach().to(dtype)
        epsilon = torch.rand(len(real), 1, 1, 1, dtype=dtype, device=real.device)
        mix = torch.lerp(fake, real, epsilon).requires_grad_(True)
        (gradient,) = torch.autograd.grad(critic(mix).sum(), mix, create_graph=True)
        norm = gradient.flatten(1).norm(dim=1)
        return (norm - 1).square().mean(), norm.detach().mean()
