"""`fit --dry_run true`: what a training would do, and need, without training."""

import math
from pathlib import Path

from lightning import Trainer

from datamodules import ImageDataModule
from gan_modules import GANModule
from minmax import lock
from minmax.class_counts import class_line, refuse_few
from minmax.errors import beginning_of
from minmax.training.imagined import imagined_step
from minmax.training.sizes import batches_of_epoch, parameters_of

MIB = 2**20


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
    loader = data.train_dataloader()
    ranks, images = trainer.world_size, loader.dataset_size
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
    stored = data.split(train=True)[0].nbytes
    needs = {"weights and optimizers": weights, "data": stored}
    try:
        step = imagined_step(trainer, model, next(iter(loader)))
    except RuntimeError as error:  # a user's own step may depend on numbers
        work = f"not counted, nor are activations: {beginning_of(error)}"
    else:
        needs["activations"] = step.kept
        work = f"{flop(step.flop / data.batch_size)} an image, {flop(step.flop * ranks)} a batch"
        if total < math.inf:
            work += f", {flop(step.flop * ranks * total)} in all"
        work += " (matrix products and convolutions)"
    lines = {
        "data": class_line(data),
        "devices": f"{ranks} x {trainer.strategy.root_device.type} on {trainer.num_nodes} node(s), "
        f"{type(trainer.strategy).__name__}, {trainer.precision}",
        "batch": f"{data.batch_size:,} images a device, {batch:,} in all",
        "epoch": f"{batches:,} batches, {batches * batch:,} of {images:,} images",
        "training": length,
        "work": work,
        "parameters": ", ".join(f"{name} {size:,}" for name, size in sizes.items()),
        "memory": f"about {sum(needs.values()) / MIB:,.0f} MiB a device beside the libraries: "
        + ", ".join(f"{name} {size / MIB:,.0f}" for name, size in needs.items()),
        "run": f"{folder}, {f'goes on from {origin}' if origin else 'from the start'}",
    }
    if (busy := lock.owner(folder / lock.NAME)) is not None:
        lines[""] = f"in other hands: {busy} works there"
    return "\n".join(f"{name:<12}{text}" for name, text in lines.items())


def flop(count: float) -> str:
    """A number of floating point operations, to three digits."""
    power = max(0, int(math.log10(max(count, 1))) // 3)
    prefix = " kMGTPEZY"[power].strip()
    return f"{count / 1000**power:.3g} {prefix}FLOP"
