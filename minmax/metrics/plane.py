"""Features of points in the plane: their coordinates, and the modes that they are of."""

from torch import Tensor

from datamodules.distributions import Distribution, Gaussians
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

    def forward(self, images: Tensor) -> tuple[Tensor, None]:
        """Points `[N, 2, 1, 1]` to features `[N, 2]`."""
        return images.flatten(1), None

    def modes_of(self, images: Tensor) -> Tensor | None:
        """Numbers of their modes, int64 `[N]`; -1 beyond 3 standard deviations of any centre."""
        known = isinstance(self.mixture, Gaussians)
        return self.mixture.modes_of(images.flatten(1)) if known else None
