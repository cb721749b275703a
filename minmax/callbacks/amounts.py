"""Prints how many images a run trains on."""

from lightning import LightningModule, Trainer

from minmax.callbacks.hooks import GANCallback, data_of
from minmax.class_counts import class_line


class Amounts(GANCallback):
    """Prints the classes and their numbers of images when a training starts."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Print them; Lightning sets up the data before callbacks."""
        if stage == "fit" and trainer.is_global_zero:
            print(f"Data: {class_line(data_of(trainer))}")
