"""Image files in folders: a user's own images."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import ImageColor
from torch import Tensor

from datamodules.base import ImageDataModule
from datamodules.decode import decode_files

# torchvision.datasets.folder.IMG_EXTENSIONS, and the animated kinds Pillow reads.
EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif")
HELD_OUT_NAMES = ("val", "valid", "validation", "test")
SINGLE_CLASS = "image"

# A file's path relative to the folder of its split, and the number of its class.
Files = list[tuple[str, int]]


class ImageFolder(ImageDataModule):
    """Images directly in `root` (one class), or in one folder a class (searched through).

    If `root` holds `train/` and besides at most `val/`, `valid/`, `validation/` or `test/`,
    these are the splits (the first of them that exists, in this order, is held out). Else
    `val_fraction` of the images are held out, chosen by a hash of each file's path, so that
    an image stays on its side when others are added.

    Reads grayscale, colour, palette, CMYK, transparent, 16-bit gray and rotated (EXIF)
    images, and the first frame of animations. Hidden files are skipped.

    Args:
        root: The folder.
        image_size: Height and width in pixels. The short side is resized to it and the
            centre cropped.
        grayscale: One channel (ITU-R 601 luma) instead of three.
        batch_size: Images per batch and per process (GPU).
        background: What shows through transparent pixels: a colour name or #rrggbb.
        classes: Names or numbers of the classes to use; all where None.
        val_fraction: Share of the images to hold out, at least 0 and below 1. At 0 the
            training images also serve for validation.
        on_device: Keep the images in GPU memory where there is room for them twice.

    Raises:
        FileNotFoundError: `root` doesn't exist or holds no images.
        ValueError: An argument out of range, or folders that can't be told apart.
    """

    decodes_to_size = True

    def __init__(
        self,
        root: str,
        image_size: int = 32,
        grayscale: bool = False,
        batch_size: int = 64,
        background: str = "white",
        classes: list[str | int] | None = None,
        val_fraction: float = 0.1,
        on_device: bool = True,
    ) -> None:
        _check_background(background)
        if not 0 <= val_fraction < 1:
            raise ValueError(
                f"--data.init_args.val_fraction is {val_fraction}, but must be at least 0 and below"
                " 1: give the share of the images to hold out, for example 0.1."
            )
        self.background = background
        folder = Path(root).expanduser()
        if not folder.is_dir():
            raise FileNotFoundError(
                f"--data.init_args.root is {root!r}, but there is no such folder (searched"
                f" {folder.absolute()}): give a folder with images or with one folder a class."
            )
        self.train_folder, self.val_folder = _find_splits(folder)
        names, files = _list_files(self.train_folder)
        super().__init__(names, image_size, grayscale, batch_size, classes, on_device)
        files = [file for file in files if file[1] in self.selected]
        if self.val_folder == self.train_folder:
            self.train_files, self.val_files = split_by_hash(files, val_fraction)
        else:
            val_names, val_files = _list_files(self.val_folder)
            if not set(val_names) <= set(names):
                raise ValueError(
                    f"--data.init_args.root is {root!r}, but the classes in {self.val_folder.name}/"
                    f" ({', '.join(val_names)}) are not all in {self.train_folder.name}/"
                    f" ({', '.join(names)}): give both the same class folders."
                )
            self.train_files = files
            self.val_files = [
                (path, label)
                for path, val_label in val_files
                if (label := names.index(val_names[val_label])) in self.selected
            ]

    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        """Decode the files of the selected classes, to their final size."""
        folder = self.train_folder if train else self.val_folder
        files = self.train_files if train else self.val_files
        images = decode_files(
            [str(folder / path) for path, _ in files],
            self.image_size,
            self.channels,
            self.background,
            f"{'training' if train else 'held-out'} images",
        )
        return images, torch.tensor([label for _, label in files], dtype=torch.int64)


def split_by_hash(files: Files, fraction: float) -> tuple[Files, Files]:
    """Return the files to train on and those held out; both the same where `fraction` is 0.

    Which side a file is on depends on its path alone. Only if one side would be empty, the
    file whose hash is nearest to the border changes sides.
    """
    if fraction == 0 or len(files) < 2:
        return files, files
    ranked = sorted((_hash(path), path, label) for path, label in files)
    count = sum(value < fraction for value, _, _ in ranked)
    count = min(max(count, 1), len(ranked) - 1)
    held_out = {path for _, path, _ in ranked[:count]}
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
        raise ValueError(
            f"--data.init_args.background is {background!r}, which is no colour: give a name such"
            " as white or black, or #rrggbb."
        ) from error


def _subfolders(folder: Path) -> list[str]:
    entries = os.scandir(folder)
    return sorted(entry.name for entry in entries if entry.is_dir() and entry.name[0] != ".")


def _find_splits(root: Path) -> tuple[Path, Path]:
    folders = _subfolders(root)
    if "train" not in folders or not set(folders) <= {"train", *HELD_OUT_NAMES}:
        return root, root
    held_out = [root / name for name in HELD_OUT_NAMES if name in folders]
    return root / "train", held_out[0] if held_out else root / "train"


def _images_in(folder: Path) -> Iterator[str]:
    for place, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if name[0] != ".")
        for name in sorted(names):
            if name[0] != "." and name.lower().endswith(EXTENSIONS):
                yield os.path.join(place, name)


def _list_files(folder: Path) -> tuple[list[str], Files]:
    """Return the names of the classes in a split's folder, and its files."""
    direct = sorted(
        entry.name
        for entry in os.scandir(folder)
        if not entry.is_dir() and entry.name[0] != "." and entry.name.lower().endswith(EXTENSIONS)
    )
    classes = {name: list(_images_in(folder / name)) for name in _subfolders(folder)}
    if direct and any(classes.values()):
        raise ValueError(
            f"--data.init_args.root leads to {folder}, which holds both images ({direct[0]}, ...)"
            " and folders with images: move the images into class folders, or all into one folder."
        )
    if direct:
        return [SINGLE_CLASS], [(name, 0) for name in direct]
    if not any(classes.values()):
        raise FileNotFoundError(
            f"--data.init_args.root leads to {folder.absolute()}, which holds no images"
            f" ({', '.join(EXTENSIONS)}): give a folder with images or with one folder a class."
        )
    for name, paths in classes.items():
        if not paths:
            raise ValueError(
                f"--data.init_args.root leads to {folder}, whose folder {name} holds no images:"
                " every folder there is a class; fill it, or move it away."
            )
    files = [
        (Path(path).relative_to(folder).as_posix(), label)
        for label, paths in enumerate(classes.values())
        for path in paths
    ]
    return list(classes), files
