"""Plain loops of two variants, against which the project's speed is measured.

They train copies of a module's networks, with its losses, parts, optimizers, average and images.
"""

from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from datamodules.loader import ResidentLoader
from gan_modules import GAN, WGANGP, GANModule
from gan_modules.base import Batch
from minmax.benchmarks.driven import Driven, endless
from minmax.benchmarks.levers import use_torchs_layers


class PILImages(Dataset[tuple[Tensor, int]]):
    """A data set of PIL images, each transformed when it is read.

    Args:
        images: uint8 `[N, C, H, W]`, in their files' size.
        labels: int64 `[N]`.
        channels: of the transformed images, 1 or 3.
        image_size: side of the transformed images in pixels.
    """

    def __init__(self, images: Tensor, labels: Tensor, channels: int, image_size: int) -> None:
        pixels = images.permute(0, 2, 3, 1).cpu().numpy()
        self.images = [Image.fromarray(p.squeeze(2) if p.shape[2] == 1 else p) for p in pixels]
        self.labels = labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.Resize(image_size),
                transforms.CenterCrop(image_size),
                *([transforms.Grayscale(channels)] if channels != pixels.shape[3] else []),
                transforms.ToTensor(),
                transforms.Normalize([0.5] * channels, [0.5] * channels),
            ]
        )

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Image `[C, H, W]` in [-1, 1], and its label."""
        return self.transform(self.images[index]), self.labels[index]


class Loop(Driven):
    """A step as a good engineer writes it, without tuning by measurements.

    It uses torch's own layers in the default memory format, and freezes no network.

    Args:
        module: the variant to copy.
        loader: of the images.
        bfloat16: run the forward passes under autocast to bfloat16.
        images: the same images as a data set, to be loaded one by one as in most public code.
        reuse: use the images of the discriminator's update in the generator's, instead of new ones.
    """

    def __init__(
        self,
        module: GANModule,
        loader: ResidentLoader,
        bfloat16: bool,
        images: PILImages | None = None,
        reuse: bool = False,
    ) -> None:
        super().__init__(module, loader, bfloat16)
        self.reuse = reuse
        use_torchs_layers(self.module.generator, self.module.discriminator)
        self.use_format(torch.contiguous_format)
        if images is not None:
            shuffled: Any = DataLoader(images, loader.batch_size, shuffle=True, drop_last=True)
            self.batches = endless(shuffled)

    def train(self, batch: Batch, index: int) -> None:
        """Update the discriminator, then the generator if its update is due."""
        module = self.module
        real, classes = batch
        optimizer_g, optimizer_d = module.both_optimizers()
        asked = module.sample_labels(len(real))
        with self.autocast():
            with torch.set_grad_enabled(self.reuse):
                fake = module(module.sample_latent(len(real)), asked)
            loss = self.discriminator_loss(real, classes, fake.detach(), asked)
        self._update(optimizer_d, loss)
        for update in range(module.generator_updates_due()):
            with self.autocast():
                if update or not self.reuse:
                    fake = module(module.sample_latent(len(real)), asked)
                loss = self.generator_loss(fake, asked)
            self._update(optimizer_g, loss)
        module.move_averages()

    def _update(self, optimizer: Any, loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def discriminator_loss(
        self, real: Tensor, classes: Tensor, fake: Tensor, asked: Tensor
    ) -> Tensor:
        """The discriminator's loss."""
        raise NotImplementedError

    def generator_loss(self, fake: Tensor, asked: Tensor) -> Tensor:
        """The generator's loss."""
        raise NotImplementedError


class GANLoop(Loop):
    """The loop of `GAN`."""

    module: GAN

    def discriminator_loss(
        self, real: Tensor, classes: Tensor, fake: Tensor, asked: Tensor
    ) -> Tensor:
        """The game's loss and the penalty."""
        module = self.module
        seen = module.augment.real(real), classes, module.augment.fake(fake), asked
        real_logits, fake_logits = module.batches(module.discriminator, *seen)
        module.augment.adapt(real_logits)
        penalty = module.penalty(module.discriminator, real, classes, fake, asked)
        loss: Tensor = module.game.discriminator(real_logits, fake_logits) + penalty
        return loss

    def generator_loss(self, fake: Tensor, asked: Tensor) -> Tensor:
        """The game's loss."""
        module = self.module
        return module.game.generator(module.discriminator(module.augment.fake(fake), asked))


class WGANGPLoop(Loop):
    """The loop of `WGANGP`."""

    module: WGANGP

    def discriminator_loss(
        self, real: Tensor, classes: Tensor, fake: Tensor, asked: Tensor
    ) -> Tensor:
        """The negative estimate of the Wasserstein distance, and the penalty."""
        module = self.module
        logits = module.discriminator(real, classes), module.discriminator(fake, asked)
        penalty = module.penalty(module.discriminator, real, classes, fake, asked)
        loss: Tensor = module.game.discriminator(*logits) + penalty
        return loss

    def generator_loss(self, fake: Tensor, asked: Tensor) -> Tensor:
        """The negative mean logit."""
        return self.module.game.generator(self.module.discriminator(fake, asked))


LOOPS: dict[type[GANModule], type[Loop]] = {GAN: GANLoop, WGANGP: WGANGPLoop}
"""The plain loop of each variant that has one; subclasses have none."""
