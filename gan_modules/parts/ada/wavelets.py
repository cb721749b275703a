"""Filters from orthogonal wavelets (Daubechies 1992), and their matrices.

Images go on beyond their border as in a mirror that stands on the outermost pixels. Such a row of
`n` pixels repeats itself after `2 (n - 1)`, and a filter along it is a matrix.
"""

import torch
from torch import Tensor

from gan_modules.parts.ada.made_once import made_once

SYM2 = tuple((a + b * 3**0.5) / 32**0.5 for a, b in ((1, -1), (3, -1), (3, 1), (1, 1)))
"""Two vanishing moments, 4 taps."""
SYM6 = (
    *(0.015404109327027373, 0.0034907120842174702, -0.11799011114819057, -0.048311742585633),
    *(0.4910559419267466, 0.787641141030194, 0.3379294217276218, -0.07263752278646252),
    *(-0.021060292512300564, 0.04472490177066578, 0.0017677118642428036, -0.007800708325034148),
)
"""Six vanishing moments, 12 taps, as symmetric as can be: about the sixth tap."""
CENTRE = 5
"""The tap of `SYM6` that lies on the pixel."""


def mirrored(position: Tensor, size: int) -> Tensor:
    """The pixels, whole numbers in [0, size), that stand for any whole positions."""
    period = max(2 * (size - 1), 1)
    inside = position.remainder(period)
    return torch.minimum(inside, period - inside) if size > 1 else inside


def as_matrix(taps: Tensor, pixels: Tensor, size: int) -> Tensor:
    """The matrix `[M, size]` whose row m sums taps `[M, K]` times pixels at positions `[M, K]`."""
    matrix = torch.zeros(len(taps), size, dtype=torch.float64)
    return matrix.scatter_add_(1, mirrored(pixels, size), taps)


@made_once
def upsampling(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """From pixels to points at and between them: `[2 size - 1, size]`. Point t is pixel t / 2."""
    points = torch.arange(2 * size - 1)[:, None]
    kernel = torch.tensor(SYM6, dtype=torch.float64)
    kernel = 2 * kernel / kernel.sum()
    # tap k of pixel i lies at point 2 i + k - CENTRE
    taps = (points + CENTRE).remainder(2) + 2 * torch.arange(len(SYM6) // 2)
    pixels = (points + CENTRE - taps).div(2, rounding_mode="floor")
    return as_matrix(kernel[taps], pixels, size).to(device, dtype)


@made_once
def downsampling(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """From points -5 to 2 size + 4, two a pixel, to pixels: `[size, 2 size + 10]`.

    The transpose of upsampling, without a border.
    """
    kernel = torch.tensor(SYM6, dtype=torch.float64)
    matrix = torch.zeros(size, 2 * size + len(SYM6) - 2, dtype=torch.float64)
    for pixel in range(size):
        matrix[pixel, 2 * pixel : 2 * pixel + len(SYM6)] = kernel / kernel.sum()
    return matrix.to(device, dtype)


def frequency_bands() -> Tensor:
    """Symmetric filters `[4, 43]` of four octaves, low to high, that sum to the identity."""
    low = torch.tensor(SYM2, dtype=torch.float64)
    high = low * torch.tensor([1, -1, 1, -1])
    low, high = (_convolved(taps, taps.flip(0)) / 2 for taps in (low, high))
    bands = torch.eye(4, 1, dtype=torch.float64)
    for band in range(1, 4):
        spread = torch.zeros(4, 2 * bands.shape[1] - 1, dtype=torch.float64)
        spread[:, ::2] = bands
        bands = torch.stack([_convolved(taps, low) for taps in spread])
        start = (bands.shape[1] - len(high)) // 2
        bands[band, start : start + len(high)] += high
    return bands


def _convolved(one: Tensor, other: Tensor) -> Tensor:
    padding = len(other) - 1
    return torch.conv1d(one[None, None], other.flip(0)[None, None], padding=padding)[0, 0]


@made_once
def band_matrices(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Each frequency band along a row of `size` pixels: `[4, size, size]`."""
    bands = frequency_bands()
    reach = bands.shape[1] // 2
    pixels = torch.arange(size)[:, None] + torch.arange(-reach, reach + 1)
    rows = [as_matrix(taps.expand(size, -1), pixels, size) for taps in bands]
    return torch.stack(rows).to(device, dtype)
