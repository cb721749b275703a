"""How far the estimates of spectral norms lie behind the weights."""

import torch
from torch import Tensor, nn

from gan_modules.networks.spectral import Spectral, iterated
from gan_modules.precision import wide

ITERATIONS = 20
"""Power iterations after which the norm counts as true: it is then too low by a few percent."""
TINY = 1e-12


def norm_over_estimate(matrix: Tensor, u: Tensor, v: Tensor) -> Tensor:
    """Spectral norm of a matrix `[rows, columns]`, over its estimate u^T W v; a scalar.

    Args:
        matrix: the weight.
        u: estimate of the left singular vector, `[rows]`.
        v: estimate of the right one, `[columns]`.
    """
    estimate = torch.dot(u, torch.mv(matrix, v)).abs()
    _, v = iterated(matrix, u, ITERATIONS, TINY)
    true: Tensor = torch.linalg.vector_norm(torch.mv(matrix, v))
    return true / estimate.clamp_min(TINY)


@torch.no_grad()
def stalest(network: nn.Module) -> float | None:
    """Greatest ratio of a network's spectrally normalised weights; None if it has none."""
    ratios = [
        norm_over_estimate(layer.matrix(), wide(layer.u), wide(layer.v))
        for layer in network.modules()
        if isinstance(layer, Spectral)
    ]
    return float(torch.stack(ratios).max()) if ratios else None
