"""Features that need no network: the pixels of a thumbnail."""

from torch import Tensor
from torch.nn import functional as F

from minmax.metrics.features import FeatureNetwork


class PixelFeatures(FeatureNetwork):
    """Average-pooled grayscale thumbnails.

    The scores then compare the thumbnails' means and covariances. They see collapse, noise and
    wrong brightness, but no fine detail. They are cheap and need neither weights nor labels, but
    can't be compared with published scores.

    Args:
        size: side of the thumbnail in pixels; there are size**2 features.
    """

    name = "pixels"

    def __init__(self, size: int = 8) -> None:
        super().__init__()
        self.size = size

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        """Images uint8 `[N, C, H, W]` to features `[N, size**2]` in [0, 1]."""
        gray = images.float().mean(dim=1, keepdim=True) / 255
        return F.adaptive_avg_pool2d(gray, self.size).flatten(1), None
