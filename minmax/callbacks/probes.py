"""Measures in validations what the diagnosis needs and no training step shows."""

from lightning import LightningModule, Trainer

from datamodules import ImageDataModule
from gan_modules import GANModule
from gan_modules.parts import Augment, InOrder, InstanceNoise, Unchanged
from minmax.callbacks.hooks import GANCallback, data_of, is_trial
from minmax.probes.judging import IMAGES, judge, some_images
from minmax.probes.leaks import leaks
from minmax.probes.stale import stalest

NO_LEAK = (InOrder, InstanceNoise, Unchanged)
"""Augmentations that a generator can't show by themselves."""


def may_leak(module: GANModule) -> bool:
    """Whether the discriminator sees images changed in a way that a generator could draw."""
    parts = (part for part in module.parts() if isinstance(part, Augment))
    return any(not isinstance(part, NO_LEAK) for part in parts)


class Probes(GANCallback):
    """Logs what a discriminator says of held-out images, stale spectral norms, and signs of leaks.

    The latter only if it sees changed images.

    All ranks compute the same: batch norm may ask for all of them.
    """

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measure, and log over the images trained on."""
        assert isinstance(pl_module, GANModule)
        data = data_of(trainer)
        if trainer.state.fn != "fit" or trainer.sanity_checking or is_trial(trainer):
            return
        if not isinstance(data, ImageDataModule):
            return
        with trainer.precision_plugin.forward_context():
            values = judge(pl_module, data) | self._stale(pl_module)
            if may_leak(pl_module):
                values |= self._leaks(pl_module, data)
        many = trainer.world_size > 1
        for name, value in values.items():
            pl_module.log(name, value, sync_dist=many)

    def _stale(self, module: GANModule) -> dict[str, float]:
        """Spectral norms of the discriminator's weights and of the drawing network's."""
        networks = {"discriminator": module.discriminator, "generator": module.drawing_network}
        ratios = {f"spectral/{name}": stalest(network) for name, network in networks.items()}
        return {name: ratio for name, ratio in ratios.items() if ratio is not None}

    def _leaks(self, module: GANModule, data: ImageDataModule) -> dict[str, float]:
        real, classes = some_images(data, True, IMAGES)
        asked = classes if module.conditional else module.sample_labels(IMAGES)
        fake = module.sample(module.seeded_latents(IMAGES), asked.to(module.device))
        return leaks(fake, real.to(module.device))
