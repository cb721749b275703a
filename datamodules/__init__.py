"""Data modules: image data sets for the `--data` option."""

from datamodules.base import ImageDataModule
from datamodules.digits import Digits
from datamodules.folder import ImageFolder
from datamodules.stacked_mnist import StackedMNIST
from datamodules.torchvision_sets import CIFAR10, MNIST, STL10, CelebA, FashionMNIST

__all__ = [
    "CIFAR10",
    "MNIST",
    "STL10",
    "CelebA",
    "Digits",
    "FashionMNIST",
    "ImageDataModule",
    "ImageFolder",
    "StackedMNIST",
]
