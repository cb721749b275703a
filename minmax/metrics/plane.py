"""Features of points in the plane: their coordinates, and the modes that they are of."""

from torch import Tensor

from datamodules.distributions import NEAR, Distribution, Gaussians
from minmax.metrics.features import FeatureNetwork


class PointFeatures(FeatureNetwork):
    """Coordinates; modes only of mixtures of Gaussians, since moons and spirals have no centres.

    Args:
        mixture: the distribution of the data.
    """

    name = "points"

    def __init__(self, mixture: Distribution) -> None:
        super().__init__()
        self.mixture = mixture
        if isinstance(mixture, Gaussians):
            self.register_buffer("means", mixture.means)
            self.shares = mixture.shares
            self.modes = f"{mixture.labels}, each within {NEAR:g} standard deviations of its centre"

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        """Points `[N, 2, 1, 1]` to features `[N, 2]`."""
        return images.flatten(1), None

    def modes_of(self, images: Tensor) -> Tensor | None:
        """Numbers of their modes, int64 `[N]`; -1 beyond 3 standard deviations of any centre."""
        if not isinstance(self.mixture, Gaussians):
            return None
        return self.mixture.modes_of(images.flatten(1))
