"""Features that need no network: the pixels of a thumbnail."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class PixelFeatures(nn.Module):
    """Average-pooled grayscale thumbnails, as features of a Frechet distance.

    The distance then compares the mean thumbnail and how its pixels vary together: enough
    to see collapse, noise and wrong brightness, blind to sharp detail. It costs nothing and
    needs no weights, but its values compare with no published FID.

    Args:
        size: side of the thumbnail in pixels; there are size**2 features.
    """

    def __init__(self, size: int = 8) -> None:
        super().__init__()
        self.size = size
        self.num_features = size**2

    def forward(self, images: Tensor) -> Tensor:
        """Images uint8 `[N, C, H, W]` to features float `[N, size**2]` in [0, 1]."""
        gray = images.float().mean(dim=1, keepdim=True) / 255
        return F.adaptive_avg_pool2d(gray, self.size).flatten(1).to(torch.float64)
