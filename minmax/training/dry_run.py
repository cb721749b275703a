"""`fit --dry_run true`: what a training would do, and need, without training."""

import math

import torch
from lightning import Trainer
from torch import Tensor

from datamodules import ImageDataModule
from gan_modules import GANModule
from gan_modules.bookkeeping import NETWORKS
from minmax.amounts import class_line, refuse_few

MIB = 2**20
TRIED = 2


def plan(trainer: Trainer, model: GANModule, data: ImageDataModule) -> str:
    """A line for each thing that is decided by several options together."""
    data.trainer = trainer  # for its number of processes: a batch may be too large for them
    ranks, images = trainer.world_size, data.train_dataloader().dataset_size
    if trainer.limit_val_batches:
        refuse_few(data)
        data.split(train=False)
    batch = data.batch_size * ranks
    batches = batches_of_epoch(trainer, images, batch)
    epochs = math.inf if trainer.max_epochs in (None, -1) else float(trainer.max_epochs or 0)
    total = batches * epochs
    if trainer.max_steps >= 0:
        total = min(total, trainer.max_steps)
    length = "until it is stopped"
    if total < math.inf:
        length = f"{int(total):,} batches, {int(total) * batch:,} images"
    sizes = parameters_of(model)
    # Weights, gradients and Adam's two moments; an average of the generator.
    weights = 16 * sum(sizes.values()) + (4 * sizes["generator"] if model.generator_ema else 0)
    activations = activation_bytes(model) * data.batch_size // TRIED
    pixels = images * data.channels * data.image_size**2
    needs = {"weights and optimizers": weights, "activations": activations, "data": pixels}
    lines = {
        "data": class_line(data),
        "devices": f"{ranks} x {trainer.strategy.root_device.type} on {trainer.num_nodes} node(s), "
        f"{type(trainer.strategy).__name__}, {trainer.precision}",
        "batch": f"{data.batch_size:,} images a device, {batch:,} in all",
        "epoch": f"{batches:,} batches, {batches * batch:,} of {images:,} images",
        "training": length,
        "parameters": ", ".join(f"{name} {size:,}" for name, size in sizes.items()),
        "memory": f"about {sum(needs.values()) / MIB:,.0f} MiB a device beside the libraries: "
        + ", ".join(f"{name} {size / MIB:,.0f}" for name, size in needs.items())
        + " (float32; a gradient penalty needs two to three times the activations)",
    }
    return "\n".join(f"{name:<12}{text}" for name, text in lines.items())


def batches_of_epoch(trainer: Trainer, images: int, batch: int) -> int:
    """Batches of so many images, over all ranks, that an epoch trains on."""
    batches, limit = images // batch, trainer.limit_train_batches
    if limit is None:
        return batches
    return min(batches, limit) if isinstance(limit, int) else int(batches * limit)


def parameters_of(model: GANModule) -> dict[str, int]:
    """Number of parameters by the name of the network."""
    return {name: sum(p.numel() for p in getattr(model, name).parameters()) for name in NETWORKS}


def headline(model: GANModule) -> str:
    """The variant, and its networks with their sizes."""
    networks = [
        f"{name} {type(getattr(model, name)).__name__} with {size:,} parameters"
        for name, size in parameters_of(model).items()
    ]
    return f"{type(model).__name__}: {', '.join(networks)}"


def activation_bytes(model: GANModule) -> int:
    """Bytes that are kept for the backward passes of a step of `TRIED` images."""
    kept: dict[int, int] = {}
    weights = {parameter.data_ptr() for parameter in model.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in weights:
            kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        classes = model.sample_labels(TRIED)
        fake = model(model.sample_latent(TRIED), classes)
        judged = fake, fake.detach(), torch.zeros_like(fake)
        graphs = [model.discriminator(images, classes) for images in judged]
        total = sum(kept.values())
    del graphs
    return total
