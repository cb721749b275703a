"""Scores of the generated images against the validation or test images."""

from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torchmetrics.image.fid import FrechetInceptionDistance

from gan_modules import GANModule
from gan_modules.images import to_uint8
from metrics import PixelFeatures


class Quality(Callback):
    """Frechet distance between as many generated as real images, as `metric/fid_pixels`.

    The generated images come from the averaged generator if there is one, and from the same
    latents each time.

    Args:
        thumbnail_size: side in pixels of the thumbnails that are compared.
    """

    def __init__(self, thumbnail_size: int = 8) -> None:
        features = PixelFeatures(thumbnail_size)
        self.distance = FrechetInceptionDistance(feature=features).set_dtype(torch.float64)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin a score; other latents on every rank, the same ones each time."""
        self.distance.reset()
        # The distance is computed in float64, which Apple's GPUs don't have.
        self._device = torch.device("cpu") if pl_module.device.type == "mps" else pl_module.device
        self.distance.to(self._device)
        self._latents = torch.Generator().manual_seed(1 + trainer.global_rank)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add a batch of real images, and as many generated ones of the same classes."""
        assert isinstance(pl_module, GANModule)
        real, labels = batch
        latent = torch.randn(len(real), pl_module.latent_dim, generator=self._latents)
        with torch.autocast(real.device.type, enabled=False):
            fake = pl_module.sample(latent.to(real.device), labels)
            self.distance.update(to_uint8(real).to(self._device), real=True)
            self.distance.update(to_uint8(fake).to(self._device), real=False)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the score over the images trained on."""
        if trainer.sanity_checking:
            return
        assert isinstance(pl_module, GANModule)
        score = self.distance.compute().float()
        pl_module.log("metric/fid_pixels", score, prog_bar=True)
        pl_module.log("step", float(pl_module.images_seen))

    on_test_epoch_start = on_validation_epoch_start
    on_test_batch_end = on_validation_batch_end
    on_test_epoch_end = on_validation_epoch_end
