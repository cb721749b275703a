"""Image files in folders: a user's own images."""

import hashlib
from pathlib import Path

import torch
from PIL import ImageColor
from torch import Tensor

from datamodules.base import ImageDataModule
from datamodules.classes import Class
from datamodules.decode import Decoding
from datamodules.decoding import decode_files
from datamodules.listing import Files, list_images
from datamodules.sources import SourceOfFiles
from datamodules.windows import check_window
from minmax.errors import MissingError, UserError, files_named


class ImageFolder(ImageDataModule):
    """Images directly in `root` (one class), or below it in one folder per class.

    Folders with names of splits are splits: `train`, and the first one of `val`, `valid`,
    `validation`, `dev`, `test` and `eval`, which is held out. Upper case and additions such as
    `_set` or `images` make no difference. Splits must lie in `root` or in the only folder there,
    with nothing beside them; otherwise they are refused, unless `classes` names them. Without
    splits `val_fraction` of the images are held out. A hash of each file's path chooses them, so
    that an image stays on its side when others are added.

    Reads what Pillow reads: grayscale, colour, palette, CMYK, transparent, 16-bit gray and
    rotated (EXIF) images, and the first frame of animations. Hidden files, folders of the system
    (`@eaDir`), other files and unreadable folders are left out, and one line counts them. A file
    with several paths is one image.

    Args:
        root: the folder.
        image_size: height and width in pixels. The short side is resized to it and the
            centre cropped.
        grayscale: one channel (ITU-R 601 luma) instead of three.
        batch_size: images per batch and per process (GPU).
        background: what shows through transparent pixels: a colour name or #rrggbb.
        classes: names or numbers of the classes to use; None means all.
        val_fraction: share of the images to hold out, at least 0 and below 1. At 0 the
            training images also serve for validation.
        on_device: keep the images in GPU memory if there is room for them twice.
        mirror: flip half of the training images left to right, others in each epoch.
        prepared: folder of the prepared sets (`datamodules/prepared.py`); None means
            `prepared` in the cache folder.
        window_gb: GB of a window of the training order, for sets larger than memory
            (`datamodules/windows.py`). None means 1 for sets of more than 16 GB, and no windows
            for others; 0 means none.

    Raises:
        MissingError: `root` doesn't exist or holds no images.
        UserError: an argument is out of range, or it is unclear what is a split or a class.
    """

    decodes_to_size = True

    def __init__(
        self,
        root: str,
        image_size: int = 32,
        grayscale: bool = False,
        batch_size: int = 64,
        background: str = "white",
        classes: list[Class] | None = None,
        val_fraction: float = 0.1,
        on_device: bool = True,
        mirror: bool = False,
        prepared: str | None = None,
        window_gb: float | None = None,
    ) -> None:
        _check_background(background)
        if not 0 <= val_fraction < 1:
            raise UserError(
                f"`val_fraction` is {val_fraction}, but must be at least 0 and below"
                " 1: give the share of the images to hold out, for example 0.1."
            )
        self.root, self.background, self.val_fraction = root, background, val_fraction
        check_window(window_gb)
        self.prepared, self.window_gb = prepared, window_gb
        folder = Path(root).expanduser()
        with files_named():
            there = folder.is_dir()
        if not there:
            raise MissingError(
                f"`root` is {root!r}, but there is no such folder (searched"
                f" {folder.absolute()}): give a folder with images or with one folder a class."
            )
        with files_named():
            listing = list_images(folder, classes)
        super().__init__(
            listing.names, image_size, grayscale, batch_size, classes, on_device, mirror
        )
        self.decoding = Decoding(image_size, self.channels, background)
        self.train_folder, self.val_folder = listing.train_folder, listing.held_out_folder
        self.train_files, self.val_files = listing.train, listing.held_out
        if self.val_folder == self.train_folder:
            self.train_files, self.val_files = split_by_hash(listing.train, val_fraction)

    def source(self, train: bool) -> SourceOfFiles:
        """The files of the selected classes."""
        folder = self.train_folder if train else self.val_folder
        return SourceOfFiles(folder, [path for path, _ in self._files(train)])

    def labels(self, train: bool) -> list[int]:
        """Their classes."""
        return [label for _, label in self._files(train)]

    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        """Decode the files of the selected classes, to their final size.

        Raises:
            BrokenFilesError: files can't be read.
        """
        images = decode_files(self.source(train), self.decoding, self.what(train))
        return images, torch.tensor(self.labels(train), dtype=torch.int64)

    def _files(self, train: bool) -> Files:
        return self.train_files if train else self.val_files


def split_by_hash(files: Files, fraction: float) -> tuple[Files, Files]:
    """Return the files to train on and those held out; both are all files if `fraction` is 0.

    The side of a file depends on its path alone, with two exceptions. If one side would be empty,
    the file whose hash is nearest to the border changes sides. Each class keeps one file to
    train on.
    """
    if fraction == 0 or len(files) < 2:
        return files, files
    ranked = sorted((_hash(path), path, label) for path, label in files)
    count = sum(value < fraction for value, _, _ in ranked)
    count = min(max(count, 1), len(ranked) - 1)
    trained = {label for _, _, label in ranked[count:]}
    last = {label: path for _, path, label in ranked[:count] if label not in trained}
    held_out = {path for _, path, _ in ranked[:count]} - {*last.values()}
    return (
        [file for file in files if file[0] not in held_out],
        [file for file in files if file[0] in held_out],
    )


def _hash(path: str) -> float:
    digest = hashlib.sha256(path.encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _check_background(background: str) -> None:
    try:
        ImageColor.getrgb(background)
    except ValueError as error:
        raise UserError(
            f"`background` is {background!r}, which is no colour: give a name such"
            " as white or black, or #rrggbb."
        ) from error
