"""Draws images from a trained generator, batch by batch."""

import os
import re
from argparse import Namespace
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from datamodules.images import available_memory
from gan_modules import GANModule
from gan_modules.latents import slerp, truncate
from minmax.checkpoints.reading import load_model
from minmax.errors import UserError
from minmax.films import Pixels
from minmax.generation.styles import Styling, styled
from minmax.values import to_uint8

NAME = 100
"""Bytes of an image's name and of its class, about."""


@dataclass(frozen=True)
class Job:
    """Which images to draw.

    Attributes:
        checkpoint: of the generator.
        latents: `[N, latent_dim]`.
        labels: int64 `[N]`; ignored by models without classes.
        names: of the images, for files.
        batch_size: images drawn at once.
        average: that draws; see `GANModule.draw_with`.
        styling: what is done to w, by generators with a mapping; none is nothing.
    """

    checkpoint: str
    latents: Tensor
    labels: Tensor
    names: list[str]
    batch_size: int
    average: int | None = None
    styling: Styling | None = None


def choose_labels(
    model: GANModule, class_names: Sequence[str], wanted: Sequence[str] | None, count: int
) -> Tensor:
    """Labels int64 `[count]`, grouped by class.

    Of the wanted classes in equal shares; if none are named, of all in the shares of
    `asked_classes`.

    Raises:
        UserError: a class is unknown, or the model has no classes.
    """
    if wanted and not model.conditional:
        raise UserError("--classes: this model is not class-conditional. Leave the option out")
    shares = model.asked_classes.shares()
    numbers = list(range(model.num_classes))
    if wanted:
        by_numbers = bool(class_names) and all(name.isdecimal() for name in class_names)
        known = {} if by_numbers else {str(number): number for number in numbers}
        known |= {name: number for number, name in enumerate(class_names)}
        unknown = [name for name in wanted if name not in known]
        if unknown:
            numbered = (f"{number}: {name}" for number, name in enumerate(class_names))
            shown = ", ".join(class_names if by_numbers else numbered) or numbers
            raise UserError(
                f"--classes {' '.join(unknown)}: choose from {shown} (names or numbers with spaces "
                "between)"
            )
        numbers = [known[name] for name in wanted]
        shares = [1] * len(numbers)
    ends = [count * end for end in accumulate(shares)]
    return torch.tensor([numbers[bisect(ends, index * sum(shares))] for index in range(count)])


def prepared(options: Namespace) -> tuple[GANModule, Job]:
    """The model, and what to draw with it, by the options of `sample`.

    Raises:
        UserError: the options don't fit the model, or the memory doesn't hold so many latents.
    """
    model, class_names = load_model(options.checkpoint, options.average)
    steps: int | None = options.interpolate
    ways = options.count if steps is None else options.count - 1
    check_memory(ways * (steps or 1), 4 * model.latent_dim + NAME)
    labels = choose_labels(model, class_names, options.classes, ways)

    def chosen(seed: int) -> Tensor:
        latents = model.seeded_latents(options.count, seed)
        if options.truncation is not None:
            latents = truncate(latents, options.truncation)
        if steps is not None:
            latents = slerp(latents[:-1], latents[1:], steps).flatten(0, 1)
        return latents

    latents = chosen(options.seed)
    if steps is not None:
        labels = labels.repeat_interleave(steps)
    names = [f"{index:06d}" for index in range(len(latents))]
    if model.conditional:
        of_classes = [class_names[n] if class_names else str(n) for n in labels.tolist()]
        names = [f"{name}_{in_file(of)}" for name, of in zip(names, of_classes, strict=True)]
    styling = None
    if options.psi is not None or options.mix_seed is not None:
        others = None if options.mix_seed is None else chosen(options.mix_seed)
        psi = 1.0 if options.psi is None else options.psi
        styling = Styling(psi, others, options.mix_from)
        styled(model, latents[:1], labels[:1], styling.part(slice(0, 1)))
    size, average = options.batch_size, options.average
    return model, Job(options.checkpoint, latents, labels, names, size, average, styling)


def check_memory(images: int, size: int) -> None:
    """Refuse so many images, of a size in bytes, if the memory that is left doesn't hold them."""
    memory = available_memory()
    if images * size > memory:
        raise UserError(
            f"{images:,} images take {images * size / 2**30:,.1f} GiB of memory, and there are "
            f"{memory / 2**30:,.1f}: lower --count or --interpolate"
        )


def in_file(name: str) -> str:
    """A class's name for use in a file name: without slashes, and cut to 200 bytes."""
    kept = os.fsencode(re.sub(r"[/\0]", "_", name))[:200]
    return os.fsdecode(kept) if kept == os.fsencode(name) else kept.decode(errors="ignore")


def drawn(
    model: GANModule, job: Job, rank: int = 0, ranks: int = 1
) -> Iterator[tuple[int, Pixels]]:
    """Draw every `ranks`-th batch; yield each with the number of its first image."""
    device = torch.device("cuda", rank) if torch.cuda.is_available() else torch.device("cpu")
    model = model.to(device)
    starts = range(rank * job.batch_size, len(job.latents), ranks * job.batch_size)
    with tqdm(
        total=len(job.latents), desc="Sampling", unit="image", leave=False, disable=rank > 0
    ) as bar:
        for start in starts:
            part = slice(start, start + job.batch_size)
            latents, labels = job.latents[part].to(device), job.labels[part].to(device)
            if job.styling is None:
                images = model.sample(latents, labels)
            else:
                images = styled(model, latents, labels, job.styling.part(part))
            yield start, to_uint8(images).permute(0, 2, 3, 1).cpu().numpy()
            bar.update(min(len(images) * ranks, len(job.latents) - bar.n))


def all_drawn(model: GANModule, job: Job) -> Pixels:
    """All images in one array, for files that need them together.

    Raises:
        UserError: the memory doesn't hold them.
    """
    parts = []
    for first, pixels in drawn(model, job):
        if not first:  # in parts, and in one array
            check_memory(len(job.latents), 2 * pixels[0].nbytes)
        parts.append(pixels)
    return np.concatenate(parts)
