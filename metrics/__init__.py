"""Feature extractors for scores of generated images."""

from metrics.pixels import PixelFeatures

__all__ = ["PixelFeatures"]
