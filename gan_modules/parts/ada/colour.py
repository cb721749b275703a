"""Transforms 8 to 12 of ADA: one affine map of the colours of each image.

Brightness is added first; then contrast multiplies. Luma flip, hue and saturation act along or
around the axis of the grays, (1, 1, 1) / sqrt 3, so they commute: all five are a part along the
axis, and a turn and a stretch of the plane across it. Gray images lie on the axis, and have no hue
and no saturation.
"""

import torch
from torch import Tensor

from gan_modules.parts.ada.draws import Values
from gan_modules.parts.ada.made_once import made_once
from minmax.errors import UserError

NAMES = ("brightness", "contrast", "luma_flip", "hue", "saturation")


def colour_map(values: Values) -> tuple[Tensor, Tensor]:
    """What red, green and blue are multiplied by, `[N, 3, 3]`, and then added, `[N, 3, 1]`."""
    brightness, contrast, luma_flip, hue, saturation = (values[name][:, 0] for name in NAMES)
    along = torch.exp2(contrast) * (1 - 2 * luma_flip)
    across = torch.exp2(contrast + saturation)
    # written so that 0 of everything is the identity to the last bit
    factors = torch.stack([along - 1, across * hue.cos() - 1, across * hue.sin()], dim=1)
    basis = _basis(factors.dtype, factors.device)
    matrix = torch.eye(3, dtype=basis.dtype, device=basis.device)
    matrix = matrix + (factors @ basis).view(-1, 3, 3)
    return matrix, (brightness * along)[:, None, None].expand(-1, 3, 1)


def recoloured(images: Tensor, values: Values) -> Tensor:
    """Images `[N, C, H, W]` after their maps, with 3 channels or with 1, which is gray.

    Raises:
        UserError: there are other channels.
    """
    channels = images.shape[1]
    if channels not in (1, 3):
        raise UserError(
            f"`colour` of ADA needs images with 1 or 3 channels, got {channels}: set it to 0"
        )
    matrix, offset = colour_map(values)
    if channels == 1:
        factor = matrix.mean(dim=1, keepdim=True).sum(dim=2, keepdim=True)
        return images * factor[..., None] + offset[:, :1, :, None]
    return torch.baddbmm(offset, matrix, images.flatten(2)).view_as(images)


@made_once
def _basis(dtype: torch.dtype, device: torch.device) -> Tensor:
    """Onto the axis of the grays, onto the plane across, and a quarter turn in it: `[3, 9]`."""
    axis = torch.full((3, 3), 1 / 3, dtype=torch.float64)
    turn = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], dtype=torch.float64) / 3**0.5
    basis = torch.stack([axis, torch.eye(3, dtype=torch.float64) - axis, turn])
    return basis.flatten(1).to(device, dtype)
