"""Exports a checkpoint's generator, and checks the exported file's images."""

import warnings
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_modules import GANModule
from minmax.checkpoints.reading import model_of, read_checkpoint
from minmax.errors import UserError
from minmax.files import whole
from minmax.generation.formats import FORMATS, Drawing
from minmax.generation.model_card import model_card
from minmax.image_sizes import size_of

TOLERANCE = 1e-4
"""Largest allowed difference of a pixel, black -1, white 1: other runtimes sum in another order."""
PIXELS = "; -1 is black, 1 white; to bytes: round((x + 1) * 127.5), cut to 0 and 255"
COORDINATES = ", coordinates of points"
COUNTS = (1, 2, 7)
"""Batch sizes of the check: a file must accept any."""


def export(checkpoint: Path, form: str, output: Path, card: Path) -> float:
    """Write a checkpoint's generator as one file, and a model card.

    Returns:
        The largest difference of a pixel from the checkpoint's images.
    """
    with whole(output) as file:
        contract, largest = checked_export(checkpoint, form, file)
        text = model_card(checkpoint, contract, form, file, largest)
        with whole(card) as card_file:
            card_file.write_text(text, "utf-8", "backslashreplace")
    return largest


def checked_export(checkpoint: Path, form: str, file: Path) -> tuple[dict[str, Any], float]:
    """Export a checkpoint's generator, and compare the file's images with the checkpoint's.

    Returns:
        The contract, which the file holds too, and the largest difference of a pixel.

    Raises:
        UserError: a package is missing, or the difference is larger than `TOLERANCE`.
    """
    read = read_checkpoint(checkpoint)
    model, class_names = model_of(read, checkpoint)
    drawing = Drawing(model)
    contract = contract_of(model, class_names, read)
    write, load = FORMATS[form]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            write(drawing, example(model, 2), contract, file)
            other = load(file, drawing)
    except ImportError as error:
        raise UserError(f'--format {form} needs {error.name}: pip install ".[export]"') from error
    differences = []
    for count in COUNTS:
        inputs = example(model, count)
        images = model.sample(inputs[0], torch.arange(count) % model.num_classes)
        differences.append((other(*inputs) - images).abs().max())
    largest = float(torch.stack(differences).max())  # not a number if one isn't
    if not largest <= TOLERANCE:
        raise UserError(
            f"--format {form}: what the file draws differs from the checkpoint's images by "
            f"{largest:.2g}, more than {TOLERANCE}. Nothing was written: choose another --format"
        )
    return contract, largest


def example(model: GANModule, count: int) -> tuple[Tensor, ...]:
    """Example inputs of the exported function."""
    latents, labels = model.seeded_latents(count), torch.arange(count) % model.num_classes
    return (latents, labels) if model.conditional else (latents,)


def contract_of(
    model: GANModule, class_names: list[str], checkpoint: dict[str, Any]
) -> dict[str, Any]:
    """What a user of the file must know: inputs, outputs, network and origin."""
    shape = list(Drawing(model)(*example(model, 1)).shape[1:])
    points = model.generator.of_points
    inputs = {"latent": f"float32 [N, {model.latent_dim}], drawn from N(0, 1)"}
    if model.conditional:
        inputs["labels"] = f"int64 [N], 0 to {model.num_classes - 1}"
    return {
        "inputs": inputs,
        "output": f"float32 [N, {', '.join(map(str, shape))}]{COORDINATES if points else PIXELS}",
        "latent_dim": model.latent_dim,
        "image_shape": shape,
        "black_and_white": None if points else [-1, 1],
        "classes": class_names if model.conditional else [],
        "variant": type(model).__name__,
        "network": f"{type(model.generator).__module__}.{type(model.generator).__name__}",
        "network_options": network_options(model, shape, checkpoint["hyper_parameters"]),
        "weights": model.weights_drawn,
        "images_seen": checkpoint["images_seen"],
        "made_by": f"minmax-gans {version('minmax-gans')}, torch {torch.__version__}",
    }


def network_options(
    model: GANModule, shape: list[int], hyperparameters: dict[str, Any]
) -> dict[str, Any]:
    """All options that the generator is built from."""
    chosen = hyperparameters.get("generator")
    own = chosen.get("init_args", {}) if isinstance(chosen, Mapping) else {}
    channels, height, width = shape
    return {
        "latent_dim": model.latent_dim,
        "channels": channels,
        "image_size": size_of(height, width),
        "num_classes": model.num_classes,
        **own,
    }
