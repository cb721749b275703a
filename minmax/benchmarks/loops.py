"""Plain loops of some variants, against which the project's speed is measured.

They train copies of a module's networks, with its losses, parts, optimizers, average and images.
"""

from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from datamodules.loader import ResidentLoader
from gan_modules import GAN, R3GAN, WGANGP, GANModule, StyleGAN2
from gan_modules.base import Batch
from gan_modules.parts import Turn
from minmax.benchmarks.driven import Driven, endless
from minmax.benchmarks.levers import networks_of, use_torchs_layers
from minmax.image_sizes import Size


class PILImages(Dataset[tuple[Tensor, int]]):
    """A data set of PIL images, each transformed when it is read.

    Args:
        images: uint8 `[N, C, H, W]`, in their files' size.
        labels: int64 `[N]`.
        channels: of the transformed images, 1 or 3.
        image_size: of the transformed images in pixels.
    """

    def __init__(self, images: Tensor, labels: Tensor, channels: int, image_size: Size) -> None:
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
        use_torchs_layers(*networks_of(self))
        self.use_format(torch.contiguous_format)
        if images is not None:
            shuffled: Any = DataLoader(images, loader.batch_size, shuffle=True, drop_last=True)
            self.batches = endless(shuffled)

    def train(self, batch: Batch, index: int) -> None:
        """Update the discriminator, then the generator if its update is due."""
        module = self.module
        real, classes = batch
        optimizer_g, optimizer_d = module.both_optimizers()
        asked = self.asked(classes)
        with self.autocast():
            latent = module.sample_latent(len(real))
            with torch.set_grad_enabled(self.reuse):
                fake = module(latent, asked)
            turn = module.turn(real, classes, latent, fake, asked)
            loss = self.discriminator_loss(turn)
        self._update(optimizer_d, loss)
        self.finish(turn, optimizer_d)
        for update in range(module.generator_updates_due()):
            with self.autocast():
                if update or not self.reuse:
                    latent = module.sample_latent(len(real))
                    fake = module(latent, asked)
                loss = self.generator_loss(turn, latent, fake)
            self._update(optimizer_g, loss)
        module.move_averages()

    def _update(self, optimizer: Any, loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def asked(self, classes: Tensor) -> Tensor:
        """Classes `[N]` of the generated images beside real ones of `classes`."""
        return self.module.sample_labels(len(classes))

    def finish(self, turn: Turn, optimizer_d: Any) -> None:
        """What follows the discriminator's update."""

    def discriminator_loss(self, turn: Turn) -> Tensor:
        """The discriminator's loss."""
        raise NotImplementedError

    def generator_loss(self, turn: Turn, latent: Tensor, fake: Tensor) -> Tensor:
        """The generator's loss."""
        raise NotImplementedError


class GANLoop(Loop):
    """The loop of `GAN`, which `WGANGP` shares."""

    module: GAN | WGANGP | R3GAN | StyleGAN2

    def discriminator_loss(self, turn: Turn) -> Tensor:
        """The game's loss and the penalty."""
        module = self.module
        real_logits, fake_logits = module.penalty.watch(turn).judge()
        turn.augment.adapt(real_logits)
        penalty = module.penalty(turn)
        loss: Tensor = module.game.discriminator(real_logits, fake_logits) + penalty
        return loss

    def finish(self, turn: Turn, optimizer_d: Any) -> None:
        """What the penalty does after the update."""
        for loss in self.module.penalty.lazy(turn):
            self._update(self.module.uncounted(optimizer_d), loss)
        self.module.penalty.after(self.module.discriminator)

    def generator_loss(self, turn: Turn, latent: Tensor, fake: Tensor) -> Tensor:
        """The game's loss and the penalty's term of the generator."""
        module = self.module
        logits = module.discriminator(turn.augment.fake(fake), turn.asked)
        loss = module.game.generator(logits, turn.judge_real)
        terms = module.penalty.of_generator(module.generator, latent, turn.asked, fake)
        return sum(terms, loss)


class R3GANLoop(GANLoop):
    """The loop of `R3GAN`."""

    def asked(self, classes: Tensor) -> Tensor:
        """The real images' own."""
        return classes


class StyleGAN2Loop(GANLoop):
    """The loop of `StyleGAN2`: the generator learns first, and nothing is reused."""

    module: StyleGAN2

    def train(self, batch: Batch, index: int) -> None:
        """Update the generator if its update is due, then the discriminator."""
        module = self.module
        real, classes = batch
        optimizer_g, optimizer_d = module.both_optimizers()
        asked = self.asked(classes)
        before = module.trainer.global_step // module.discriminator_steps * module.generator_steps
        for update in range(module.generator_updates_due()):
            with self.autocast():
                latent, fake = self.draw(asked)
                turn = module.turn(real, classes, latent, fake, asked)
                loss = self.generator_loss(turn, latent, fake)
            self._update(optimizer_g, loss)
            if module.path_length.due(before + update):
                with self.autocast():
                    styles = module.styles(module.sample_latent(len(real)), asked)
                    loss = module.path_length(module.generator.synthesis, styles)
                self._update(optimizer_g, loss)
        with self.autocast():
            with torch.no_grad():
                latent, fake = self.draw(asked)
            turn = module.turn(real, classes, latent, fake, asked)
            loss = self.discriminator_loss(turn)
        self._update(optimizer_d, loss)
        self.finish(turn, optimizer_d)
        module.move_averages()

    def draw(self, asked: Tensor) -> tuple[Tensor, Tensor]:
        """Latents and images of classes `[N]`."""
        latent = self.module.sample_latent(len(asked))
        return latent, self.module.generator.synthesis(self.module.styles(latent, asked))


LOOPS: dict[type[GANModule], type[Loop]] = {
    GAN: GANLoop,
    WGANGP: GANLoop,
    R3GAN: R3GANLoop,
    StyleGAN2: StyleGAN2Loop,
}
"""The plain loop of each variant that has one; subclasses have none."""
