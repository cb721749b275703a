"""Data modules: image data sets, and points in the plane, for the `--data` option."""

from datamodules.base import ImageDataModule
from datamodules.digits import Digits
from datamodules.distributions import Distribution, Grid, Mixture, Moons, Ring, Spiral
from datamodules.folder import ImageFolder
from datamodules.points import Points
from datamodules.stacked_mnist import StackedMNIST
from datamodules.streamed import Streamed
from datamodules.torchvision_sets import CIFAR10, MNIST, STL10, CelebA, FashionMNIST

__all__ = [
    "CIFAR10",
    "MNIST",
    "STL10",
    "CelebA",
    "Digits",
    "Distribution",
    "FashionMNIST",
    "Grid",
    "ImageDataModule",
    "ImageFolder",
    "Mixture",
    "Moons",
    "Points",
    "Ring",
    "Spiral",
    "StackedMNIST",
    "Streamed",
]
