"""Adaptive discriminator augmentation."""

from gan_modules.parts.ada.ada import ADA
from gan_modules.parts.ada.control import SignControl

__all__ = ["ADA", "SignControl"]
