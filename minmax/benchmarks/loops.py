"""The same training without Lightning: the loops that the project's speed is measured against.

All train copies of a module's networks, with its losses, tricks, optimizers and average, on its
images. They differ in their levers alone.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from datamodules.loader import ResidentLoader
from gan_modules import ACGAN, GAN, WGANGP, GANModule
from gan_modules.acgan import mean
from gan_modules.base import Batch
from gan_modules.networks.layers import ConvTranspose2d, Dropout, LeakyReLU
from gan_modules.parts.average import ema_half_lives, ema_share, ema_update


@dataclass(frozen=True)
class Levers:
    """What a loop does for its speed.

    Attributes:
        resident: batches by index from one tensor; else PIL images, transformed one by one.
        reuse: the adversary's generated images serve the generator's update too.
        freeze: no gradients for the weights of the network that isn't updated.
        channels_last: memory format of networks and images.
        layers: the project's own layers where they are faster than torch's.
        fused: the optimizer's fused form, or without it; None is as the configuration says.
        compiled: networks through torch.compile.
    """

    resident: bool = True
    reuse: bool = False
    freeze: bool = False
    channels_last: bool = False
    layers: bool = False
    fused: bool | None = None
    compiled: bool = False


PEERS = Levers(resident=False)
"""How most public code trains."""
PLAIN = Levers()
"""How a good engineer writes it."""
LIMIT = Levers(reuse=True, freeze=True, channels_last=True, layers=True, fused=True)
"""All levers that help."""

LEVERS = ("reuse", "freeze", "channels_last", "layers", "fused", "compiled")


def with_other(lever: str) -> Levers:
    """The fastest loop with one lever changed: without it, or with it where it isn't used."""
    return replace(LIMIT, **{lever: not getattr(LIMIT, lever)})


class PILImages(Dataset[tuple[Tensor, int]]):
    """Images as PIL ones, each transformed when it is asked for.

    Args:
        images: uint8 `[N, C, H, W]`, in the size that their files have.
        labels: int64 `[N]`.
        channels: 1 or 3, of what is given out.
        image_size: side in pixels of what is given out.
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


def use_torchs_layers(network: nn.Module) -> None:
    """Put torch's own layers in the place of the project's faster ones."""
    for own in (ConvTranspose2d, Dropout, LeakyReLU):
        for layer in network.modules():
            if isinstance(layer, own):
                layer.__class__ = own.__base__  # type: ignore[assignment]


class Loop:
    """One of the three variants' training.

    Args:
        module: whose networks are copied and whose settings are used.
        loader: the images.
        dataset: the images one by one, for the loop that isn't resident.
        levers: what is done for speed.
        bfloat16: run the forward passes under autocast to bfloat16.
    """

    variants = (GAN, ACGAN, WGANGP)

    def __init__(
        self,
        module: GANModule,
        loader: ResidentLoader,
        dataset: PILImages,
        levers: Levers,
        bfloat16: bool,
    ) -> None:
        self.module = module
        self.levers = levers
        self.bfloat16 = bfloat16
        self.device = module.device
        self.generator = copy.deepcopy(module.generator)
        self.adversary: Any = copy.deepcopy(module.discriminator)
        self.average = copy.deepcopy(module.generator_ema)
        self.format = torch.channels_last if levers.channels_last else torch.contiguous_format
        for network in (self.generator, self.adversary):
            network.requires_grad_(True).train().to(memory_format=self.format)
            if not levers.layers:
                use_torchs_layers(network)
        self.optimizer_g = module.generator_optimizer(self.generator.parameters())
        self.optimizer_a = module.discriminator_optimizer(self.adversary.parameters())
        for optimizer in (self.optimizer_g, self.optimizer_a):
            if levers.fused is not None:
                for group in optimizer.param_groups:
                    group["fused"], group["foreach"] = levers.fused or None, None
        if levers.compiled:
            self.generator.compile()
            if not isinstance(module, WGANGP):  # nothing compiled can be differentiated twice
                self.adversary.compile()
        self.batches = self._batches(loader, dataset)
        self.cycle = module.discriminator_steps
        self.batch_index = 0
        self.images_seen = 0

    def _batches(self, loader: ResidentLoader, dataset: PILImages) -> Iterator[Batch]:
        """Batches without end, on the device."""
        batches: ResidentLoader | DataLoader[tuple[Tensor, int]]
        if self.levers.resident:
            batches = copy.copy(loader)
            batches.sampler = copy.copy(loader.sampler)
        else:
            batches = DataLoader(dataset, loader.batch_size, shuffle=True, drop_last=True)
        while True:
            for images, labels in batches:
                images = images.to(self.device, memory_format=self.format)
                yield images, labels.to(self.device)

    def draw(self, count: int, classes: Tensor) -> Tensor:
        """Generated images of new latents."""
        latents = self.module.sample_latent(count)
        images: Tensor = self.generator(latents, classes)
        return images

    def step(self) -> int:
        """Train on a batch; its number of images."""
        real, real_classes = next(self.batches)
        count = len(real)
        self.images_seen += count
        fake_classes = self.module.sample_labels(count)
        self.batch_index += 1
        generator_is_due = self.batch_index % self.cycle == 0
        reuse = self.levers.reuse and generator_is_due
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
            with torch.set_grad_enabled(reuse):
                fake = self.draw(count, fake_classes)
            loss = self.adversary_loss(real, real_classes, fake.detach(), fake_classes)
        self._update(self.optimizer_a, loss)
        for update in range(self.module.generator_steps if generator_is_due else 0):
            self.adversary.requires_grad_(not self.levers.freeze)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16):
                if update or not reuse:
                    fake = self.draw(count, fake_classes)
                loss = self.generator_loss(fake, fake_classes)
            self._update(self.optimizer_g, loss)
            self.adversary.requires_grad_(True)
        if self.average is not None:
            half_life = self.module.ema_half_life_images
            half_lives = ema_half_lives(count, self.images_seen, half_life)
            ema_update(self.average, self.generator, torch.tensor(ema_share(half_lives)))
        return count

    def _update(self, optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def adversary_loss(
        self, real: Tensor, real_classes: Tensor, fake: Tensor, fake_classes: Tensor
    ) -> Tensor:
        """Loss of the discriminator or critic."""
        module = self.module
        assert isinstance(module, GAN | ACGAN | WGANGP)
        if isinstance(module, WGANGP):
            logits = self.adversary(real, real_classes), self.adversary(fake, fake_classes)
            penalty = module.penalty(self.adversary, real, real_classes, fake, fake_classes)
            distance: Tensor = module.game.discriminator(*logits)
            return distance + penalty
        seen, made = module.augment.real(real), module.augment.fake(fake)
        if isinstance(module, GAN):
            logits = module.batches(self.adversary, seen, real_classes, made, fake_classes)
            return module.game.discriminator(*logits)
        real_logits, real_class_logits = self.adversary.heads(seen)
        fake_logits, fake_class_logits = self.adversary.heads(made)
        class_loss = mean(
            nn.functional.cross_entropy(real_class_logits.float(), real_classes),
            nn.functional.cross_entropy(fake_class_logits.float(), fake_classes),
            module.fake_class_weight,
        )
        loss = module.game.discriminator(real_logits, fake_logits)
        return mean(loss, class_loss, module.class_weight)

    def generator_loss(self, fake: Tensor, classes: Tensor) -> Tensor:
        """Loss of the generator."""
        module = self.module
        if isinstance(module, WGANGP):
            return module.game.generator(self.adversary(fake, classes))
        assert isinstance(module, GAN | ACGAN)
        fake = module.augment.fake(fake)
        if isinstance(module, GAN):
            return module.game.generator(self.adversary(fake, classes))
        logits, class_logits = self.adversary.heads(fake)
        class_loss = nn.functional.cross_entropy(class_logits.float(), classes)
        return mean(module.game.generator(logits), class_loss, module.class_weight)
