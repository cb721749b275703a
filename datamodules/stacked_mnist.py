"""StackedMNIST: three handwritten digits as the colour channels of one image.

Metz et al. 2017, https://arxiv.org/abs/1611.02163, section 3.3.1: a data set with 1,000 known
modes, on which a generator's modes can be counted.
"""

from functools import partial
from itertools import product
from math import prod

from torch import Tensor

from datamodules.base import ImageDataModule
from datamodules.classes import Class
from datamodules.loader import ResidentLoader
from datamodules.torchvision_sets import MNIST
from datamodules.triples import CHANNELS, FreshTriples, TripleLoader, numbered, random_triples
from minmax.errors import UserError

DRAWS = 26_000
"""Images that published scores draw; so many fixed triples of each split are scored beside them."""


class StackedMNIST(ImageDataModule):
    """Random triples of MNIST's digits as colour images, in 1,000 classes: "000" to "999".

    The first channel is the first figure of the class. Training draws fresh triples of training
    digits for each epoch, a function of the seed, the epoch and the index. Scores compare with
    26,000 fixed triples of training digits, and as many of held-out digits. Digits of 28 pixels are
    resized as MNIST's are, not padded.

    Args:
        root: the folder that holds torchvision's folder of MNIST.
        image_size: height and width in pixels.
        batch_size: images per batch and per process (GPU).
        classes: digits to use, "0" to "9"; k of them make k^3 classes. None means all.
        download: download what is missing; otherwise nothing is ever downloaded.
        on_device: keep the digits in GPU memory if there is room for them twice.
        epoch_images: number of triples in an epoch.

    Raises:
        UserError: an argument is out of range, or a digit is unknown or repeated.
    """

    more = "raise `epoch_images`"
    scored = DRAWS
    counted = True

    def __init__(
        self,
        root: str = "data",
        image_size: int = 32,
        batch_size: int = 64,
        classes: list[Class] | None = None,
        download: bool = False,
        on_device: bool = True,
        epoch_images: int = 60_000,
    ) -> None:
        if epoch_images < 1:
            raise UserError(
                f"`epoch_images` is {epoch_images}, but must be at least 1: give the number of"
                " images after which an epoch ends."
            )
        self.digits = MNIST(root, image_size, batch_size, classes, download, on_device)
        names = ["".join(triple) for triple in product(self.digits.class_names, repeat=CHANNELS)]
        super().__init__(names, image_size, False, batch_size, None, on_device)
        self.root = root
        self.classes = classes
        self.download = download
        self.epoch_images = epoch_images

    def prepare_data(self) -> None:
        """Download MNIST if it is missing and `download` is true."""
        self.digits.prepare_data()

    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        """Return fixed triples of the split's digits as `[26000, 3, 28, 28]`, and their classes."""
        digits, classes = self.digits.originals(train)
        chosen = random_triples(len(digits), DRAWS, int(train))
        return digits.squeeze(1)[chosen], numbered(classes[chosen], self.digits.num_classes)

    def images_of_epoch(self) -> int:
        """Number of triples that an epoch shares out among the ranks."""
        return self.epoch_images

    @property
    def classified(self) -> ImageDataModule:
        """The single gray digits."""
        return self.digits

    def counts(self, train: bool) -> list[int]:
        """Number of triples of each class that can be drawn from the split's digits."""
        return [prod(triple) for triple in product(self.digits.counts(train), repeat=CHANNELS)]

    def _loader(self, train: bool) -> ResidentLoader:
        if not train:
            return super()._loader(train)
        self.digits.trainer = self.trainer  # which knows the device
        digits, classes = self.digits.split(train)
        order = FreshTriples(
            len(digits), self.epoch_images, *self._sharing(self.epoch_images, train)
        )
        kind = partial(TripleLoader, self.digits.num_classes)
        return self._loader_of(kind, digits, classes, order)
