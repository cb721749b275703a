"""Draws images from a trained generator, and writes them to files."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.utils import make_grid, save_image
from tqdm import tqdm

from gan_modules import GANModule
from gan_modules.images import to_uint8


def choose_labels(
    model: GANModule, class_names: Sequence[str], wanted: Sequence[str] | None, count: int
) -> Tensor:
    """Labels int64 `[count]`, sorted, of the wanted classes in equal shares.

    Raises:
        ValueError: an unknown class, or classes asked of a model that knows none.
    """
    if wanted and not model.conditional:
        raise ValueError("--classes: this model is not class-conditional. Leave the option out")
    numbers = list(range(model.num_classes))
    if wanted:
        known = {str(number): number for number in numbers}
        known |= {name: number for number, name in enumerate(class_names)}
        unknown = [name for name in wanted if name not in known]
        if unknown:
            shown = ", ".join(f"{number}: {name}" for number, name in enumerate(class_names))
            raise ValueError(f"--classes {' '.join(unknown)}: choose from {shown or numbers}")
        numbers = [known[name] for name in wanted]
    return torch.tensor([numbers[index * len(numbers) // count] for index in range(count)])


def draw(model: GANModule, labels: Tensor, count: int, seed: int, batch_size: int) -> Tensor:
    """Images `[count, C, H, W]` in [-1, 1]; the same ones for a seed at every batch size."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model.to(device)
    latents = model.seeded_latents(count, seed)
    images = []
    with tqdm(total=count, desc="Sampling", unit="image", leave=False) as progress:
        for start in range(0, count, batch_size):
            latent = latents[start : start + batch_size]
            label = labels[start : start + batch_size]
            images.append(model.sample(latent, label.to(device)).cpu())
            progress.update(len(latent))
    return torch.cat(images)


def write(images: Tensor, labels: Tensor | None, class_names: Sequence[str], output: Path) -> None:
    """Write the images beside `output` first, then put them in its place whole."""
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = output.with_name(f".{output.stem}.partial{output.suffix}")
    try:
        if output.suffix == ".png":
            columns = max(1, round(len(images) ** 0.5))
            save_image(make_grid(images, columns, normalize=True, value_range=(-1, 1)), partial)
        else:
            pixels = to_uint8(images).permute(0, 2, 3, 1)
            if output.suffix == ".npz":
                known = {} if labels is None else {"labels": labels.numpy()}
                np.savez_compressed(partial, images=pixels.numpy(), **known)  # type: ignore[arg-type]
            else:
                write_folder(pixels, labels, class_names, partial)
        if output.is_dir():
            shutil.rmtree(output)
        partial.replace(output)
    finally:
        if partial.is_dir():
            shutil.rmtree(partial)
        partial.unlink(missing_ok=True)


def write_folder(
    pixels: Tensor, labels: Tensor | None, class_names: Sequence[str], folder: Path
) -> None:
    """One PNG file an image, named by its number and its class."""
    folder.mkdir()
    for index, image in enumerate(tqdm(pixels.numpy(), desc="Writing", unit="image", leave=False)):
        suffix = ""
        if labels is not None:
            number = int(labels[index])
            suffix = f"_{class_names[number] if class_names else number}"
        Image.fromarray(image.squeeze()).save(folder / f"{index:06d}{suffix}.png")
