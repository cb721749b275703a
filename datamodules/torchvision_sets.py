"""Data sets that torchvision can read and download.

They expect torchvision's own folder layout below `root`, so that data which another project
has downloaded by torchvision is found.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision import datasets

from datamodules.classes import Class
from datamodules.decode import Decoding
from datamodules.decoding import decode_files
from datamodules.downloads import TorchvisionDataModule
from datamodules.sources import SourceOfFiles
from datamodules.windows import check_window


class MNIST(TorchvisionDataModule):
    """70,000 handwritten digits of 28x28 gray pixels (60,000 to train on), ten classes.

    LeCun et al. 1998, http://yann.lecun.com/exdb/mnist/. Arguments as for
    `TorchvisionDataModule`.
    """

    names = tuple(str(digit) for digit in range(10))
    layout = "MNIST/raw/ with the four idx files (train-images-idx3-ubyte, ...)"

    def __init__(
        self,
        root: str = "data",
        image_size: int = 32,
        batch_size: int = 64,
        classes: list[Class] | None = None,
        download: bool = False,
        on_device: bool = True,
        mirror: bool = False,
    ) -> None:
        super().__init__(root, image_size, True, batch_size, classes, download, on_device, mirror)

    def open(self, root: str, train: bool, download: bool) -> Any:
        """Return torchvision's data set object for one split."""
        return datasets.MNIST(root, train=train, download=download)

    def extract(self, dataset: Any) -> tuple[Tensor, Tensor]:
        """Return images `[N, 1, 28, 28]` and labels `[N]`."""
        return dataset.data.unsqueeze(1), dataset.targets.long()


class FashionMNIST(MNIST):
    """70,000 pictures of clothes of 28x28 gray pixels (60,000 to train on), ten classes.

    Xiao et al. 2017, https://arxiv.org/abs/1708.07747. Arguments as for
    `TorchvisionDataModule`.
    """

    names = datasets.FashionMNIST.classes
    layout = "FashionMNIST/raw/ with the four idx files (train-images-idx3-ubyte, ...)"

    def open(self, root: str, train: bool, download: bool) -> Any:
        """Return torchvision's data set object for one split."""
        return datasets.FashionMNIST(root, train=train, download=download)


class CIFAR10(TorchvisionDataModule):
    """60,000 photos of 32x32 colour pixels (50,000 to train on), ten classes.

    Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html. Arguments as for
    `TorchvisionDataModule`.
    """

    names = (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    )
    layout = "cifar-10-batches-py/ (the unpacked cifar-10-python.tar.gz)"

    def open(self, root: str, train: bool, download: bool) -> Any:
        """Return torchvision's data set object for one split."""
        return datasets.CIFAR10(root, train=train, download=download)

    def extract(self, dataset: Any) -> tuple[Tensor, Tensor]:
        """Return images `[N, 3, 32, 32]` and labels `[N]`."""
        return torch.from_numpy(dataset.data).permute(0, 3, 1, 2), torch.tensor(dataset.targets)


class STL10(TorchvisionDataModule):
    """13,000 labelled photos of 96x96 colour pixels (5,000 to train on), ten classes.

    Coates et al. 2011, https://cs.stanford.edu/~acoates/stl10/. The 100,000 unlabelled
    photos are not used. Arguments as for `TorchvisionDataModule`.
    """

    names = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")
    layout = "stl10_binary/ (the unpacked stl10_binary.tar.gz)"

    def open(self, root: str, train: bool, download: bool) -> Any:
        """Return torchvision's data set object for one split."""
        return datasets.STL10(root, split="train" if train else "test", download=download)

    def extract(self, dataset: Any) -> tuple[Tensor, Tensor]:
        """Return images `[N, 3, 96, 96]` and labels `[N]`."""
        return torch.from_numpy(dataset.data), torch.from_numpy(dataset.labels).long()


class CelebA(TorchvisionDataModule):
    """202,599 aligned faces of 178x218 colour pixels (162,770 to train on), one class.

    Liu et al. 2015, https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html. Held out: the test
    split. Arguments as for `TorchvisionDataModule`.
    """

    names = ("face",)
    decodes_to_size = True
    layout = "celeba/ with img_align_celeba/ and the five .txt files"

    def __init__(
        self,
        root: str = "data",
        image_size: int = 32,
        grayscale: bool = False,
        batch_size: int = 64,
        classes: list[Class] | None = None,
        download: bool = False,
        on_device: bool = True,
        mirror: bool = False,
        prepared: str | None = None,
        window_gb: float | None = None,
    ) -> None:
        super().__init__(
            root, image_size, grayscale, batch_size, classes, download, on_device, mirror
        )
        check_window(window_gb)
        self.prepared, self.window_gb = prepared, window_gb
        self.decoding = Decoding(image_size, self.channels)
        self._files: dict[bool, SourceOfFiles] = {}

    def open(self, root: str, train: bool, download: bool) -> Any:
        """Return torchvision's data set object for one split."""
        return datasets.CelebA(root, split="train" if train else "test", download=download)

    def source(self, train: bool) -> SourceOfFiles:
        """The files of the aligned faces."""
        if train not in self._files:
            self._files[train] = _faces(self.dataset(train))
        return self._files[train]

    def labels_of(self, train: bool) -> list[int]:
        """Zeros."""
        return [0] * len(self.source(train))

    def extract(self, dataset: Any) -> tuple[Tensor, Tensor]:
        """Return images of the final size and labels `[N]`, all zero."""
        files = _faces(dataset)
        images = decode_files(files, self.decoding, "CelebA")
        return images, torch.zeros(len(files), dtype=torch.int64)


def _faces(dataset: Any) -> SourceOfFiles:
    folder = Path(dataset.root) / dataset.base_folder / "img_align_celeba"
    return SourceOfFiles(folder, dataset.filename)
