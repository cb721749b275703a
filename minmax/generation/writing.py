"""Draws images and writes them as a grid, a film, a folder of files, or arrays."""

import math
import os
import re
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.multiprocessing.spawn import (
    ProcessException,
    ProcessExitedException,
    spawn,
)

from gan_modules import GANModule
from minmax.checkpoints.reading import load_model
from minmax.errors import FULL, UserError
from minmax.files import whole
from minmax.films import write_gif, write_mp4
from minmax.generation.drawing import Job, all_drawn, drawn
from minmax.generation.grids import grid, in_rows
from minmax.parent import children_follow

FRAMES_PER_SECOND = 20


def write(
    model: GANModule,
    job: Job,
    output: Path,
    kind: str,
    devices: int = 1,
    columns: int | None = None,
    nearest: bool = False,
) -> None:
    """Draw images and write them; `sample --help` explains the options.

    Args:
        model: of the generator.
        job: which images.
        output: a file, or a folder that is made.
        kind: the file's suffix; empty for a folder.
        devices: number of devices that share the work for a folder or for arrays.
        columns: of a grid; None: a square, or one row for each class.
        nearest: show the nearest training image beside each, in a grid.
    """
    if model.generator.of_points and kind != ".npz":
        raise UserError(
            f"--output {output}: this generator draws points in the plane, which FILE.npz holds; "
            "pictures/ in its run's folder shows them"
        )
    with whole(output) as part:
        if model.generator.of_points:
            write_points(model, job, part)
        elif kind == "":
            write_folder(model, job, part, devices)
        elif kind == ".npz":
            write_arrays(model, job, part, devices)
        elif kind == ".gif":
            write_gif(all_drawn(model, job), part, FRAMES_PER_SECOND)
        elif kind == ".mp4":
            write_mp4(all_drawn(model, job), part, FRAMES_PER_SECOND)
        else:
            pixels = all_drawn(model, job)
            if nearest:
                from minmax.generation.neighbours import beside_nearest  # takes seconds

                pixels, columns = beside_nearest(pixels, Path(job.checkpoint)), 8
            elif not columns:
                pixels, columns = in_rows(pixels, job, model.conditional)
            grid(pixels, columns).save(part)


# Many images, on several devices


def work(rank: int, ranks: int, job: Job, place: Path, model: GANModule | None = None) -> None:
    """Draw one rank's share of the images into a folder of files, or into an array on the disk."""
    model = model or load_model(job.checkpoint, job.average)[0]
    array = None if place.is_dir() else np.lib.format.open_memmap(place, mode="r+")
    for start, pixels in drawn(model, job, rank, ranks):
        if array is not None:
            array[start : start + len(pixels)] = pixels
        else:
            for name, image in zip(job.names[start:], pixels, strict=False):
                Image.fromarray(image.squeeze()).save(place / f"{name}.png")


def share(job: Job, place: Path, model: GANModule, devices: int) -> None:
    """Draw with one process for each device; image i doesn't depend on their number.

    There are at most as many processes as batches.

    Raises:
        UserError: there are fewer GPUs, or a process failed.
    """
    if devices > 1 and torch.cuda.is_available() and devices > torch.cuda.device_count():
        raise UserError(f"--devices {devices}: there are {torch.cuda.device_count()} GPUs")
    devices = min(devices, math.ceil(len(job.latents) / job.batch_size))
    if devices == 1:
        work(0, 1, job, place, model)
        return
    try:
        with children_follow():
            spawn(work, (devices, job, place), nprocs=devices)  # type: ignore[no-untyped-call]
    except ProcessException as error:
        reason = str(error).strip().splitlines()[-1]
        if full := re.search(rf"\[Errno ({'|'.join(map(str, FULL))})\]", reason):
            raise OSError(int(full[1]), os.strerror(int(full[1]))) from error
        kind, _, said = reason.partition(": ")
        wrong_input: list[type] = [UserError, *UserError.__subclasses__()]
        if kind in [f"{one.__module__}.{one.__qualname__}" for one in wrong_input]:
            raise UserError(f"--devices {devices}: a process failed ({said})") from error
        if isinstance(error, ProcessExitedException):
            raise UserError(f"--devices {devices}: a process failed ({reason})") from error
        raise  # with the traceback of the process


def write_folder(model: GANModule, job: Job, folder: Path, devices: int) -> None:
    """Write one PNG file for each image, named by its number and its class."""
    folder.mkdir()
    share(job, folder, model, devices)


def write_points(model: GANModule, job: Job, file: Path) -> None:
    """Write points float32 `[N, 2]`."""
    parts = zip(
        torch.split(job.latents, job.batch_size),
        torch.split(job.labels, job.batch_size),
        strict=True,
    )
    points = torch.cat([model.sample(*part).flatten(1) for part in parts])
    with file.open("wb") as stream:
        np.savez_compressed(stream, points=points.numpy())


def write_arrays(model: GANModule, job: Job, file: Path, devices: int) -> None:
    """Write images uint8 `[N, H, W, C]`, and labels int64 `[N]` of a conditional model.

    The arrays are first written beside the file.
    """
    image = model.sample(job.latents[:1], job.labels[:1])[0]
    shape = (len(job.latents), *image.permute(1, 2, 0).shape)
    array = file.with_suffix(".npy")
    np.lib.format.open_memmap(array, mode="w+", dtype=np.uint8, shape=shape).flush()
    if hasattr(os, "posix_fallocate"):  # else a full disk kills the process while it draws
        with array.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, array.stat().st_size)
    share(job, array, model, devices)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:  # the format of savez
        archive.write(array, "images.npy")
        if model.conditional:
            with archive.open("labels.npy", "w") as stream:
                np.save(stream, job.labels.numpy())
