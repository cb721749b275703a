"""A score."""

from lightning import Callback, LightningModule, Trainer

from gan_modules import GANModule


class Brightness(Callback):
    """Mean pixel of generated images in [-1, 1], as `metric/brightness`."""

    def __init__(self, count: int = 50) -> None:
        self.count = count

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, GANModule)
        classes = pl_module.sample_labels(self.count)
        images = pl_module.sample(pl_module.seeded_latents(self.count), classes)
        pl_module.log("metric/brightness", images.mean())
