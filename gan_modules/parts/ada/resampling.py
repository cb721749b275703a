"""Images at the places of an affine map: a linear map of the pixels, and its transpose.

Twice the points by a filter, values between them along straight lines, then the same filter back:
so little is blurred and little is aliased. The derivative of torch's `grid_sample` has no
derivative; here each of the two maps is the derivative of the other.

On a CPU a few images are made at a time, so that the cache holds their finer images.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gan_modules.parts.ada.wavelets import CENTRE, downsampling, upsampling

CACHED = 2**17
"""Numbers in the finer images of one piece, on a CPU."""
MIRROR = 2
"""Torch's number of what lies beyond the border."""


def resampled(images: Tensor, inverse: Tensor) -> Tensor:
    """Images `[N, C, H, W]` after affine maps.

    Args:
        images: what is moved. Beyond their border the finer images go on as in mirrors, without
            end.
        inverse: where each pixel of the result lies in the images, `[N, 3, 3]`, in pixels from
            the centre. No gradient flows into it.
    """
    return _Resampled.apply(images, inverse)


class _Resampled(torch.autograd.Function):
    """The map of the pixels."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(inverse)
        (up_y, down_y), (up_x, down_x) = _filters(images)
        results = []
        for piece, places in _pieces(images, _places(inverse, *images.shape[2:])):
            finer = up_y @ (piece @ up_x.mT)
            sampled = F.grid_sample(finer, places, "bilinear", "reflection", align_corners=True)
            results.append(down_y @ (sampled @ down_x.mT))
        return torch.cat(results)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _Transposed.apply(*gradients, *ctx.saved_tensors), None


class _Transposed(torch.autograd.Function):
    """Its transpose, which takes gradients of the result to gradients of the images."""

    @staticmethod
    def forward(ctx: Any, gradients: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(inverse)
        (up_y, down_y), (up_x, down_x) = _filters(gradients)
        results = []
        for piece, places in _pieces(gradients, _places(inverse, *gradients.shape[2:])):
            sampled = down_y.mT @ (piece @ down_x)
            # only the shape of the finer images counts: one number stands for them all
            shape = (*piece.shape[:2], len(up_y), len(up_x))
            finer, _ = torch.ops.aten.grid_sampler_2d_backward(
                sampled, piece.new_zeros(()).expand(shape), places, 0, MIRROR, True, (True, False)
            )
            results.append(up_y.mT @ (finer @ up_x))
        return torch.cat(results)

    @staticmethod
    def backward(ctx: Any, *images: Tensor) -> tuple[Tensor, None]:
        return _Resampled.apply(*images, *ctx.saved_tensors), None


def _filters(like: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Up and down, along the height and along the width."""
    kind = like.dtype, like.device
    return [(upsampling(size, *kind), downsampling(size, *kind)) for size in like.shape[2:]]


def _pieces(images: Tensor, places: Tensor) -> Iterable[tuple[Tensor, Tensor]]:
    """The whole batch at once, or on a CPU as many images as its cache holds."""
    finer = 4 * images.shape[1:].numel()
    count = max(CACHED // finer, 2) if images.is_cpu else max(len(images), 1)
    return zip(torch.split(images, count), torch.split(places, count), strict=True)


def _places(inverse: Tensor, height: int, width: int) -> Tensor:
    """Where the result's points lie in the finer images, whose border is at -1 and 1.

    Returns `[N, 2 H + 10, 2 W + 10, 2]`.
    """
    rows = [inverse[:, row] * 2 / max(size - 1, 1) for row, size in enumerate((width, height))]
    x_axis, y_axis, centre = torch.stack(rows, dim=1).unbind(dim=2)
    along_x = x_axis[..., None, None] * _points(width, inverse)
    along_y = y_axis[..., None] * _points(height, inverse) + centre[..., None]
    return (along_x + along_y[..., None]).permute(0, 2, 3, 1)


def _points(size: int, like: Tensor) -> Tensor:
    """The points that a row of the result is made from, in pixels from its centre."""
    points = torch.arange(2 * size + 2 * CENTRE, dtype=like.dtype, device=like.device)
    return (points - CENTRE - (size - 1)) / 2
