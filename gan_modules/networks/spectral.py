"""Spectral normalisation (Miyato et al. 2018, algorithm 1, https://arxiv.org/abs/1802.05957).

The weight, a matrix of one row an output, is divided by an estimate of its largest singular value.
Each forward in training mode improves the estimate by one power iteration; eval mode uses it as it
stands. So a step whose discriminator sees real and generated images in two passes iterates twice,
and once more in the generator's update.

Deviation from the paper: networks begin with `START` iterations on their initial weights, so that
they are normalised before their first training step.

torch's parametrization computes the same, slower: it multiplies the weight a third time for the
value, and has a convolution's weight copied to another memory order. A weight and its gradient take
1.3 times (3x3, 32 channels) to 2 times (384) as long there, on one CPU thread. On a GPU with small
batches the number of operations counts, which is about the same.
"""

from typing import Any

import torch
from torch import Tensor, nn

from gan_modules.precision import wide, without_autocast

START = 15
"""Power iterations on initial weights."""


class Spectral(nn.Module):
    """What the layers below share: `normalised()` instead of `weight`.

    Args:
        arguments: of torch's layer.
        eps: lower limit of the lengths by which u and v are divided.
        options: of torch's layer.

    Attributes:
        u: left singular vector of the largest singular value, as estimated so far; `[rows]`.
        v: the right one; `[columns]`.
    """

    weight: Tensor
    u: Tensor
    v: Tensor

    def __init__(self, *arguments: Any, eps: float = 1e-12, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.eps = eps
        for name, size in zip("uv", self.matrix().shape, strict=True):
            drawn = self.weight.detach().new_empty(size).normal_()
            self.register_buffer(name, unit(drawn, eps))

    def matrix(self) -> Tensor:
        """The weight in float32 at least, `[outputs, inputs]`; of channels_last weights no copy."""
        weight = self.weight
        return wide(weight.permute(0, 2, 3, 1) if weight.dim() == 4 else weight).flatten(1)

    def sigma(self) -> Tensor:
        """Estimate of the largest singular value, a scalar; in training mode it iterates first.

        No gradient flows through u and v. Those that the backward pass needs are copies, which
        later forwards don't change.
        """
        matrix = self.matrix()
        if not self.training:
            return torch.dot(wide(self.u).clone(), torch.mv(matrix, wide(self.v).clone()))
        v = unit(torch.mv(matrix.detach().t(), wide(self.u)), self.eps)
        image = torch.mv(matrix, v)
        u = unit(image.detach(), self.eps)
        with torch.no_grad():
            self.u.copy_(u)
            self.v.copy_(v)
        return torch.dot(u, image)

    def normalised(self) -> Tensor:
        """The weight divided by `sigma`, in float32 also under autocast; float64 stays."""
        with without_autocast(self.weight):
            return self.weight * self.sigma().reciprocal()


class SpectralConv2d(Spectral, nn.Conv2d):
    """Convolution with a spectrally normalised weight; the bias stays as it is."""

    def forward(self, input: Tensor) -> Tensor:
        """Maps `[N, C_in, H, W]` to `[N, C_out, H', W']`."""
        return self._conv_forward(input, self.normalised(), self.bias)


class SpectralLinear(Spectral, nn.Linear):
    """Linear layer with a spectrally normalised weight; the bias stays as it is."""

    def forward(self, input: Tensor) -> Tensor:
        """`[N, in]` to `[N, out]`."""
        return nn.functional.linear(input, self.normalised(), self.bias)


class SpectralEmbedding(Spectral, nn.Embedding):
    """Embedding whose table `[classes, width]` is spectrally normalised."""

    def forward(self, input: Tensor) -> Tensor:
        """Classes `[N]` to vectors `[N, width]`."""
        return nn.functional.embedding(input, self.normalised())


def unit(vector: Tensor, eps: float) -> Tensor:
    """The vector divided by its length, or by `eps` if that is more."""
    length: Tensor = torch.linalg.vector_norm(vector)
    return vector / length.clamp_min(eps)


def iterated(matrix: Tensor, u: Tensor, times: int, eps: float) -> tuple[Tensor, Tensor]:
    """Singular vectors u `[rows]` and v `[columns]` of a matrix after some power iterations.

    Args:
        matrix: `[rows, columns]`.
        u: the left one so far.
        times: number of iterations, at least 1.
        eps: lower limit of the lengths by which they are divided.
    """
    for _ in range(times):
        v = unit(torch.mv(matrix.t(), u), eps)
        u = unit(torch.mv(matrix, v), eps)
    return u, v


@torch.no_grad()
def power_iterate(network: nn.Module, times: int = START) -> None:
    """Improve the estimates of all layers of a network, whose weights changed without them.

    Args:
        network: in any mode, which stays.
        times: number of iterations.
    """
    for module in network.modules():
        if isinstance(module, Spectral):
            if module.weight.is_meta:
                continue
            with without_autocast(module.weight):
                u, v = iterated(module.matrix(), wide(module.u), times, module.eps)
            module.u.copy_(u)
            module.v.copy_(v)
