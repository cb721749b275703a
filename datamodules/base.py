"""What all data modules share: class subsets, decoding once, loaders for one or many ranks."""

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

import torch
from lightning.pytorch import LightningDataModule
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from datamodules.chunks import PixelFile
from datamodules.classes import Classes, select_classes
from datamodules.decode import Decoding
from datamodules.decoding import naming_all
from datamodules.images import available_memory, conform
from datamodules.loaded import check_loaded
from datamodules.loader import EpochShuffle, ResidentLoader
from datamodules.prefetching import PrefetchingLoader
from datamodules.prepared import prepared_images
from datamodules.sources import Source
from datamodules.wanted import Wanted
from datamodules.windows import WindowShuffle, window_bytes
from minmax.errors import UserError
from minmax.image_sizes import Size, sides, size_of
from minmax.values import Bytes, Values

NOTHING = "none: the training images"
"""The rule of a split that holds no images out: its scores see the training images again."""


class ImageDataModule(LightningDataModule, ABC):
    """Images float `[B, C, H, W]` in [-1, 1] and labels int64 `[B]`, from memory.

    A subclass names its classes and implements `load`. The attributes below exist after
    `__init__`, before any image is read, so that models can be linked to them. A run made in
    Python saves each argument of a subclass' constructor that has an attribute of its name.

    Args:
        available_classes: names of all classes of the data set, in the order of its labels.
        image_size: side of the images in pixels, or height and width. Others are resized until
            they cover it, and their centre cropped.
        grayscale: one channel (ITU-R 601 luma) instead of three.
        batch_size: images per batch and per process (GPU).
        classes: train on these classes only, by name or by number; they get the labels
            0, 1, ... in this order. None means all classes.
        on_device: keep the images in GPU memory if there is room for them twice.
        mirror: flip half of the training images left to right, others in each epoch. Scores
            compare with the images as they are.

    Attributes:
        channels: 1 or 3.
        image_size: as given, of a square its side.
        num_classes: number of the classes in use.
        class_names: their names, by label.
        values: what the stored values mean.
        scored: number of generated images that are scored by default.
        counted: whether published scores need just so many.

    Raises:
        UserError: an argument is out of range, or a class is unknown or repeated.
    """

    decodes_to_size: ClassVar[bool] = False  # whether `load` takes long and resizes as it reads
    values: ClassVar[Values] = Bytes()
    scored: ClassVar[int] = 10_000
    more: ClassVar[str] = "add images"  # what helps if they are too few for a batch
    counted: ClassVar[bool] = False
    decoding: Decoding  # of a module with a source
    prepared: str | None = None  # its option: folder of the prepared sets
    window_gb: float | None = 0  # its option: of a window of the training order; 0 means none

    def __init__(
        self,
        available_classes: Sequence[str],
        image_size: Size,
        grayscale: bool,
        batch_size: int,
        classes: Classes = None,
        on_device: bool = True,
        mirror: bool = False,
    ) -> None:
        super().__init__()
        for option, value, unit in (
            ("image_size", min(sides(image_size)), "pixels"),
            ("batch_size", batch_size, "images"),
        ):
            if value < 1:
                raise UserError(
                    f"`{option}` is {value}, but must be at least 1:"
                    f" give a positive number of {unit}."
                )
        self.available = len(available_classes)
        self.selected = select_classes(available_classes, classes)
        self.class_names = [available_classes[index] for index in self.selected]
        self.num_classes = len(self.class_names)
        self.channels = 1 if grayscale else 3
        self.image_size = size_of(*sides(image_size))
        self.grayscale = grayscale
        self.classes = classes
        self.batch_size = batch_size
        self.on_device = on_device
        self.mirror = mirror
        self._splits: dict[tuple[bool, Size], tuple[Tensor, Tensor]] = {}
        self._mapped: dict[bool, PixelFile] = {}

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the feature networks that can score such data, the default first."""
        return (
            ("domain", "inception", "pixels") if self.num_classes > 1 else ("pixels", "inception")
        )

    @abstractmethod
    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        """Read one split.

        Returns:
            Images uint8 `[N, 1 or 3, H, W]`, all of one size, and labels int64 `[N]`, which are
            positions in `available_classes`. Images of unselected classes may be left out.
        """

    def setup(self, stage: str | None = None) -> None:
        """Decode the split that the stage begins with; the other one is decoded on demand.

        Each split is decoded once, and kept for later calls and stages.
        """
        if stage == "fit":
            self._sharing(self.images_of_epoch(), train=True)  # refuses too large a batch early
        self.split(train=stage in ("fit", None))

    def train_dataloader(self) -> ResidentLoader:
        """Return whole batches in an order given by the seed (PL_GLOBAL_SEED) and the epoch."""
        return self._loader(train=True)

    def val_dataloader(self) -> ResidentLoader:
        """Return every held-out image once, in a fixed order; the last batch may be smaller."""
        return self._loader(train=False)

    def test_dataloader(self) -> ResidentLoader:
        """Return the same images as `val_dataloader`."""
        return self._loader(train=False)

    def split(self, train: bool, image_size: int | None = None) -> tuple[Tensor, Tensor]:
        """Return the training or the held-out images of the selected classes, decoded once.

        Args:
            train: training images, else the held-out ones.
            image_size: their side in pixels; None means that of the data module, and images that
                are no squares keep it. If all files have one size (MNIST, CIFAR-10), they are
                resized from that size.

        Returns:
            Images uint8 `[N, C, H, W]`, and their labels int64 `[N]`.
        """
        square = isinstance(self.image_size, int)
        size = image_size if image_size and square else self.image_size
        if (train, size) not in self._splits:
            if self.decodes_to_size and size != self.image_size:
                images, labels = self.split(train)
            else:
                images, labels = self.originals(train)
            name = f"{type(self).__name__} {'training' if train else 'held-out'} images"
            images = conform(images, self.channels, size, f"Resizing {name}")
            self._splits[train, size] = self._place(images), labels
        return self._splits[train, size]

    def images_of_epoch(self) -> int:
        """Number of training images that an epoch shares out among the ranks."""
        return sum(self.counts(train=True))

    @property
    def classified(self) -> "ImageDataModule":
        """The data whose classes a classifier learns for the scores: these."""
        return self

    def counts(self, train: bool) -> list[int]:
        """Number of training or held-out images of each class in use, by label."""
        if self.source(train) is not None:  # nothing need be decoded for this
            count = Counter(self.labels_of(train))
            return [count[label] for label in self.selected]
        return self.split(train)[1].bincount(minlength=self.num_classes).tolist()

    @property
    def holds_out(self) -> bool:
        """Whether the held-out images are others than the training images."""
        return self.split_rule != NOTHING

    @property
    def split_rule(self) -> str:
        """How the held-out images were chosen, for the protocol of scores."""
        return "that of the data set"

    def source(self, train: bool) -> Source | None:
        """Where the encoded images of the selected classes lie; None if none need decoding.

        They are decoded once, as `decoding` says, into a prepared set (`prepared.py`).
        """
        return None

    def labels_of(self, train: bool) -> list[int]:
        """Classes of the source's images, positions in `available_classes`."""
        raise NotImplementedError(f"{type(self).__name__} has a source, but no labels")

    def originals(self, train: bool) -> tuple[Tensor, Tensor]:
        """Read a split's images of the selected classes anew, in the size that `load` gives them.

        Returns:
            Images uint8 `[N, 1 or 3, H, W]`, and their labels int64 `[N]`.

        Raises:
            BrokenFilesError: images can't be read; it names those of both splits.
        """
        return self._select(*naming_all(self.read, train))

    def what(self, train: bool) -> str:
        """What messages call the images of a split."""
        return f"{'training' if train else 'held-out'} images"

    def wanted(self, train: bool) -> Wanted | None:
        """The prepared set of a split; None if the data has no source."""
        source, kind = self.source(train), type(self).__name__
        if source is None:
            return None
        return Wanted(
            source,
            self.labels_of(train),
            self.decoding,
            data=kind,
            what=self.what(train),
            place=os.path.abspath(getattr(self, "root", kind)),
            class_names=self.class_names,
            folder=self.prepared,
        )

    def read(self, train: bool) -> tuple[Tensor, Tensor]:
        """Map the prepared images of a split, and their labels, or load them as `load` does."""
        wanted = self.wanted(train)
        images = None if wanted is None else prepared_images(wanted)
        if wanted is None or images is None:
            given = self.load(train)
            return check_loaded(given, type(self).__name__, self.available, self.values.pictures)
        self._mapped[train] = wanted.file
        return images, torch.tensor(wanted.labels, dtype=torch.int64)

    def _select(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Keep the selected classes, numbered in the order they were given."""
        renumber = torch.full((self.available,), -1)
        renumber[self.selected] = torch.arange(self.num_classes)
        labels = renumber[labels]
        if bool((labels < 0).any()):
            return images[labels >= 0], labels[labels >= 0]
        return images, labels

    def _device(self) -> torch.device:
        return torch.device("cpu") if self.trainer is None else self.trainer.strategy.root_device

    def _place(self, images: Tensor) -> Tensor:
        device = self._device()
        if not self.on_device or device.type != "cuda":
            return images
        free, _ = torch.cuda.mem_get_info(device)
        return images.to(device) if free > 2 * images.nbytes else images

    def _loader(self, train: bool) -> ResidentLoader:
        images, labels = self.split(train)
        order = self._order(images, train)
        file = self._mapped.get(train)
        if file is None or images.device.type != "cpu":
            return self._loader_of(ResidentLoader, images, labels, order)
        if type(order) is EpochShuffle and train and images.nbytes > available_memory():
            rank_zero_info(
                f"{images.nbytes / 1e9:.3g} GB of images exceed the memory: give "
                "--data.init_args.window_gb 1 if the training waits for the disk (docs/data.md)."
            )
        return self._loader_of(partial(PrefetchingLoader, file), images, labels, order)

    def _order(self, images: Tensor, train: bool) -> EpochShuffle:
        """The order of a split: whole, or in windows; it doesn't depend on where the images lie."""
        count, sharing = len(images), self._sharing(len(images), train)
        window = window_bytes(images.nbytes, self.window_gb) if train else 0
        if window:
            return WindowShuffle(count, images.nbytes // count, window, *sharing)
        return EpochShuffle(count, *sharing)

    def _sharing(self, size: int, train: bool) -> tuple[int, bool, int, int, int]:
        """The arguments of an order of `size` images, after their number.

        Raises:
            UserError: they fill no batch on every rank.
        """
        rank = 0 if self.trainer is None else self.trainer.global_rank
        world_size = 1 if self.trainer is None else self.trainer.world_size
        if train and size < self.batch_size * world_size:
            raise UserError(
                f"`batch_size` is {self.batch_size} on {world_size} process(es), but"
                f" there are only {size} training images: give at most"
                f" {size // world_size or '1, use fewer processes'}, or {self.more}."
            )
        seed = int(os.environ.get("PL_GLOBAL_SEED", 0))
        return self.batch_size, train, seed, rank, world_size

    def _loader_of(
        self,
        kind: Callable[..., ResidentLoader],
        images: Tensor,
        labels: Tensor,
        order: EpochShuffle,
    ) -> ResidentLoader:
        labels = labels.to(images.device)
        trainer, train = self.trainer, order.shuffle
        # The loader asks for the epoch: after a resume from an epoch's end under `max_steps`,
        # Lightning's loop gives the sampler a number that is one too high.
        current_epoch = (lambda: trainer.current_epoch) if train and trainer is not None else None
        return kind(
            images,
            labels,
            self.batch_size,
            order,
            self._device(),
            current_epoch,
            mirror=self.mirror and train,
            values=self.values,
        )
