"""Sizes of networks and of epochs."""

from lightning import Trainer

from gan_modules import GANModule
from gan_modules.bookkeeping.around_steps import NETWORKS


def batches_of_epoch(trainer: Trainer, images: int, batch: int) -> int:
    """Number of batches, of `batch` images over all ranks, that an epoch trains on."""
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
