"""Draws images from a trained generator, on one device or several, and writes them as they come."""

import errno
import math
import os
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.multiprocessing.spawn import (
    ProcessException,
    ProcessExitedException,
    spawn,
)
from tqdm import tqdm

from gan_modules import GANModule
from gan_modules.images import to_uint8
from gan_modules.latents import slerp, truncate
from minmax.commands.checkpoint import load_model
from minmax.errors import UserError
from minmax.parent import children_follow

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
"""Images uint8 `[N, H, W, C]`."""


@dataclass(frozen=True)
class Job:
    """Which images to draw.

    Attributes:
        checkpoint: of the generator.
        latents: `[N, latent_dim]`.
        labels: int64 `[N]`; unused by models without classes.
        names: of each image, for files.
        batch_size: images at once.
    """

    checkpoint: str
    latents: Tensor
    labels: Tensor
    names: list[str]
    batch_size: int


def choose_labels(
    model: GANModule, class_names: Sequence[str], wanted: Sequence[str] | None, count: int
) -> Tensor:
    """Labels int64 `[count]`, sorted, of the wanted classes in equal shares.

    Raises:
        UserError: an unknown class, or classes asked of a model that knows none.
    """
    if wanted and not model.conditional:
        raise UserError("--classes: this model is not class-conditional. Leave the option out")
    numbers = list(range(model.num_classes))
    if wanted:
        known = {str(number): number for number in numbers}
        known |= {name: number for number, name in enumerate(class_names)}
        unknown = [name for name in wanted if name not in known]
        if unknown:
            shown = ", ".join(f"{number}: {name}" for number, name in enumerate(class_names))
            raise UserError(f"--classes {' '.join(unknown)}: choose from {shown or numbers}")
        numbers = [known[name] for name in wanted]
    return torch.tensor([numbers[index * len(numbers) // count] for index in range(count)])


def plan(
    checkpoint: str,
    count: int,
    seed: int,
    batch_size: int,
    classes: Sequence[str] | None = None,
    truncation: float | None = None,
    interpolate: int | None = None,
) -> tuple[GANModule, Job]:
    """The model, and what to draw with it; `sample --help` explains the options."""
    model, class_names = load_model(checkpoint)
    ways = count if interpolate is None else count - 1
    labels = choose_labels(model, class_names, classes, ways)
    latents = model.seeded_latents(count, seed)
    if truncation is not None:
        latents = truncate(latents, truncation)
    if interpolate is not None:
        latents = slerp(latents[:-1], latents[1:], interpolate).flatten(0, 1)
        labels = labels.repeat_interleave(interpolate)
    names = [f"{index:06d}" for index in range(len(latents))]
    if model.conditional:
        of_classes = [class_names[n] if class_names else str(n) for n in labels.tolist()]
        names = [f"{name}_{in_file(of)}" for name, of in zip(names, of_classes, strict=True)]
    return model, Job(checkpoint, latents, labels, names, batch_size)


def in_file(name: str) -> str:
    """A class' name as a part of a file's, which may be shorter and has no slashes."""
    kept = os.fsencode(re.sub(r"[/\0]", "_", name))[:200]
    return os.fsdecode(kept) if kept == os.fsencode(name) else kept.decode(errors="ignore")


def device_of(rank: int) -> torch.device:
    """The device of one of several processes."""
    return torch.device("cuda", rank) if torch.cuda.is_available() else torch.device("cpu")


def drawn(
    model: GANModule, job: Job, rank: int = 0, ranks: int = 1
) -> Iterator[tuple[int, Pixels]]:
    """Batches of images, each with the number of its first; every `ranks`-th batch of all."""
    device = device_of(rank)
    model = model.to(device)
    starts = range(rank * job.batch_size, len(job.latents), ranks * job.batch_size)
    with tqdm(
        total=len(job.latents), desc="Sampling", unit="image", leave=False, disable=rank > 0
    ) as bar:
        for start in starts:
            part = slice(start, start + job.batch_size)
            images = model.sample(job.latents[part].to(device), job.labels[part].to(device))
            yield start, to_uint8(images).permute(0, 2, 3, 1).cpu().numpy()
            bar.update(len(images) * ranks)


def all_drawn(model: GANModule, job: Job) -> Pixels:
    """All images at once, where a file needs them so."""
    return np.concatenate([pixels for _, pixels in drawn(model, job)])


def in_rows(pixels: Pixels, job: Job, by_class: bool) -> tuple[Pixels, int]:
    """Images for a grid, and how many are in a row: as many as rows, or a class in each row.

    Black images fill the rows of classes that have fewer.
    """
    if not by_class:
        return pixels, max(1, round(math.sqrt(len(pixels))))
    counts = torch.unique_consecutive(job.labels, return_counts=True)[1].tolist()
    sheet = np.zeros((len(counts), max(counts), *pixels.shape[1:]), np.uint8)
    for row, images in zip(sheet, np.split(pixels, np.cumsum(counts)[:-1]), strict=True):
        row[: len(images)] = images
    return sheet.reshape(-1, *pixels.shape[1:]), max(counts)


# Many images, on several devices


def work(rank: int, ranks: int, job: Job, place: Path, model: GANModule | None = None) -> None:
    """Draw a share of the images into a folder of files, or into an array that lies on the disk."""
    model = model or load_model(job.checkpoint)[0]
    array = None if place.is_dir() else np.lib.format.open_memmap(place, mode="r+")
    for start, pixels in drawn(model, job, rank, ranks):
        if array is not None:
            array[start : start + len(pixels)] = pixels
        else:
            for name, image in zip(job.names[start:], pixels, strict=False):
                Image.fromarray(image.squeeze()).save(place / f"{name}.png")


def share(job: Job, place: Path, model: GANModule, devices: int) -> None:
    """Have as many processes draw; image i is the same one however many they are.

    Raises:
        UserError: there are not as many GPUs, or a process failed.
    """
    if devices == 1:
        work(0, 1, job, place, model)
        return
    if torch.cuda.is_available() and devices > torch.cuda.device_count():
        raise UserError(f"--devices {devices}: there are {torch.cuda.device_count()} GPUs")
    try:
        with children_follow():
            spawn(work, (devices, job, place), nprocs=devices)  # type: ignore[no-untyped-call]
    except ProcessException as error:
        reason = str(error).strip().splitlines()[-1]
        full = re.search(rf"\[Errno ({errno.ENOSPC}|{errno.EDQUOT}|{errno.EFBIG})\]", reason)
        if full:
            raise OSError(int(full[1]), os.strerror(int(full[1]))) from error
        kind, _, said = reason.partition(": ")
        if kind == f"{UserError.__module__}.{UserError.__qualname__}":
            raise UserError(said) from error
        if isinstance(error, ProcessExitedException):
            raise UserError(f"--devices {devices}: a process failed ({reason})") from error
        raise  # with the traceback of the process


def write_folder(model: GANModule, job: Job, folder: Path, devices: int) -> None:
    """One PNG file an image, named by its number and its class."""
    folder.mkdir()
    share(job, folder, model, devices)


def write_arrays(model: GANModule, job: Job, file: Path, devices: int) -> None:
    """Images uint8 `[N, H, W, C]`, and the labels int64 `[N]` of a conditional model.

    The arrays lie beside the file until they are in it.
    """
    image = model.sample(job.latents[:1], job.labels[:1])[0]
    shape = (len(job.latents), *image.permute(1, 2, 0).shape)
    array = file.with_suffix(".npy")
    np.lib.format.open_memmap(array, mode="w+", dtype=np.uint8, shape=shape).flush()
    if hasattr(os, "posix_fallocate"):  # else a full disk kills the process in the midst of it
        with array.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, array.stat().st_size)
    share(job, array, model, devices)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:  # what savez makes
        archive.write(array, "images.npy")
        if model.conditional:
            np.save(array, job.labels.numpy())
            archive.write(array, "labels.npy")
