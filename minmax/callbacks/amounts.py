"""What a run trains on."""

from lightning import LightningModule, Trainer

from minmax.callbacks.hooks import GANCallback, data_of
from minmax.class_counts import class_line


class Amounts(GANCallback):
    """Says at a training's start which classes there are, with how many images."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """The data are there: they are set up before callbacks are."""
        if stage == "fit" and trainer.is_global_zero:
            print(f"Data: {class_line(data_of(trainer))}")
