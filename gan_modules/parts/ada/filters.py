"""Transforms 13 to 16 of ADA: frequency bands of each image become stronger or weaker."""

import torch
from torch import Tensor

from gan_modules.parts.ada.draws import Values
from gan_modules.parts.ada.wavelets import band_matrices


def gains(values: Values) -> Tensor:
    """What each band is multiplied by, `[N, 4]`.

    After each of the four transforms all bands are divided by the root of the power that is to be
    expected then, if 10, 1, 1 and 1 of 13 parts lie in the bands, low to high.
    """
    doublings = torch.cat([values[f"band_{band}"] for band in range(4)], dim=1)
    rises = (torch.exp2(2 * doublings) - 1) / 13
    powers = 1 + torch.cat([10 * rises[:, :1], rises[:, 1:]], dim=1)
    return torch.exp2(doublings) / powers.prod(dim=1, keepdim=True).sqrt()


def filtered(images: Tensor, values: Values) -> Tensor:
    """Images `[N, C, H, W]`, with the same filter along both axes, as in a mirror at the border.

    They are the very same numbers where nothing is to be done.
    """
    gain = gains(values)
    down, along = (
        torch.einsum("nb,bij->nij", gain, band_matrices(size, gain.dtype, gain.device))[:, None]
        for size in images.shape[2:]
    )
    spared = (gain == 1).all(dim=1)[:, None, None, None]
    return torch.where(spared, images, down @ (images @ along.mT))
