"""Limits of the networks' weights."""

import torch
from torch import Tensor, nn

from gan_modules.parts.penalty import NoPenalty
from gan_modules.parts.schedules import Schedule
from gan_modules.precision import wide
from minmax.errors import UserError


class WeightClipping(NoPenalty):
    """All of the discriminator's parameters are kept in [-limit, limit] (Arjovsky et al. 2017).

    https://arxiv.org/abs/1701.07875, algorithm 1: after each update; buffers are left alone.

    Args:
        limit: greatest absolute value. Paper: 0.01.
    """

    def __init__(self, limit: float = 0.01) -> None:
        super().__init__()
        if not 0 < limit < float("inf"):
            raise UserError(f"`limit` of WeightClipping must be above 0, got {limit}")
        self.limit = limit

    @torch.no_grad()
    def after(self, discriminator: nn.Module) -> None:
        """Clip the parameters."""
        parameters: list[Tensor] = [*discriminator.parameters()]
        torch._foreach_clamp_min_(parameters, -self.limit)
        torch._foreach_clamp_max_(parameters, self.limit)


class Orthogonal(NoPenalty):
    """weight * |W W^T * (1 - I)|^2 over the generator's matrices (Brock et al. 2019, equation 3).

    https://arxiv.org/abs/1809.11096. A matrix W has a row an output; embeddings of classes are left
    out. The gradient is the whole one; the authors' code has half of it.

    Args:
        weight: weight of the term. Paper: 1e-4.
    """

    weight_now: Tensor

    def __init__(self, weight: float | Schedule = 1e-4) -> None:
        super().__init__()
        self.check_range(0, float("inf"), weight=weight)
        self.weight = weight
        self.changing("weight_now", weight)

    def of_generator(
        self, generator: nn.Module, latent: Tensor, asked: Tensor, fake: Tensor
    ) -> list[Tensor]:
        """The term, in float32 or float64."""
        with torch.autocast(fake.device.type, enabled=False):
            terms = [off_diagonal(rows) for rows in matrices(generator)]
            if not terms:
                raise UserError(
                    f"`penalty` Orthogonal finds no matrix in `generator` "
                    f"{type(generator).__name__}, which has no linear layer or convolution of "
                    "torch's: leave it out, or choose another generator"
                )
            total = torch.stack(terms).sum()
        self.observed = {"penalty/orthogonal": total.detach()}
        return [self.weight_now * total]


def matrices(network: nn.Module) -> list[Tensor]:
    """The weights of all linear layers and convolutions, a row `[out, in * k * k]` an output."""
    found = []
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            found.append(wide(layer.weight).flatten(1))
        elif isinstance(layer, nn.ConvTranspose2d):
            found.append(wide(layer.weight).transpose(0, 1).flatten(1))
    return found


def off_diagonal(rows: Tensor) -> Tensor:
    """Sum of the squared inner products of different rows."""
    products = rows @ rows.T
    return products.square().sum() - products.diagonal().square().sum()
