"""`fit --dry_run true`: what a training would do, and need, without training."""

import math
from pathlib import Path

import torch
from lightning import Trainer
from torch import Tensor

from datamodules import ImageDataModule
from gan_modules import GANModule
from minmax import lock
from minmax.class_counts import class_line, refuse_few
from minmax.errors import UserError
from minmax.training.sizes import batches_of_epoch, parameters_of

MIB = 2**20
TRIED = 2


def summary_of(
    trainer: Trainer, model: GANModule, data: ImageDataModule, folder: Path, origin: str | None
) -> str:
    """One line for each quantity that follows from several options.

    Args:
        trainer: of the training.
        model: to be trained.
        data: to train on.
        folder: of the run.
        origin: the checkpoint that it resumes; None if it starts anew.
    """
    data.trainer = trainer  # the data checks the batch size against the number of processes
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
    # Weights, gradients and Adam's two moments; averages of the generator.
    weights = 16 * sum(sizes.values()) + 4 * sizes["generator"] * len(model.averages)
    activations = activation_bytes(model, data.batch_size)
    stored = data.split(train=True)[0].nbytes
    needs = {"weights and optimizers": weights, "activations": activations, "data": stored}
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
        "run": f"{folder}, {f'goes on from {origin}' if origin else 'from the start'}",
    }
    if (busy := lock.owner(folder / lock.NAME)) is not None:
        lines[""] = f"in other hands: {busy} works there"
    return "\n".join(f"{name:<12}{text}" for name, text in lines.items())


def activation_bytes(model: GANModule, batch_size: int) -> int:
    """Bytes that autograd keeps for the backward passes of a step of this many images.

    It is measured with `TRIED` images, or with all where a discriminator takes groups of more.
    """
    try:
        return kept_bytes(model, TRIED) * batch_size // TRIED
    except UserError:
        return kept_bytes(model, batch_size)


def kept_bytes(model: GANModule, images: int) -> int:
    """Bytes that autograd keeps for the backward passes of a step of this many images."""
    kept: dict[int, int] = {}
    weights = {parameter.data_ptr() for parameter in model.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in weights:
            kept[tensor.data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        classes = model.sample_labels(images)
        fake = model(model.sample_latent(images), classes)
        judged = fake, fake.detach(), torch.zeros_like(fake)
        graphs = [model.discriminator(shown, classes) for shown in judged]
        total = sum(kept.values())
    del graphs
    return total
