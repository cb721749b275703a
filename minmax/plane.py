"""Pictures of points in the plane: samples over the data and the discriminator's surface.

The colours are the discriminator's logits (bent, so that small ones show), orange where it takes
points for real ones; the arrows are their slope, along which the generator's gradient moves
samples. All pictures of a run have the same limits, which the data set.
"""

import math
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from datamodules import Points
from datamodules.distributions import NEAR, Gaussians
from gan_modules import GANModule
from gan_modules.latents import slerp
from gan_modules.networks import Packed

SIDE = 480
"""Of the plane in pixels; below it is a line of text."""
TEXT = 36
FINER = 2
"""How much larger it is drawn, and then reduced, so that lines are smooth."""
CELLS = 60
"""The surface's cells in a row."""
EVERY = 3
"""Cells from one arrow to the next."""
SHOWN, COUNTED, JUDGED, WAYS, STEPS = 1000, 2500, 500, 24, 33
PACKS = 8
"""Packs in which each point is judged, beside generated ones; their logits' mean is shown."""
FLAT = 1.0
"""Least logit that has the full colour, in games whose logits have a zero."""
BEND = 10.0
"""Logits up to this share of the full colour's, inverted, have about linear colours."""
GENERATED, EVEN, REAL = (70, 118, 180), (247, 246, 242), (232, 146, 62)
SAMPLE, FOUND, LOST, ARROW = (24, 22, 46, 170), (0, 128, 84), (200, 16, 46), (70, 70, 70, 130)
DATA = (0, 128, 84, 70)

Numbers = np.ndarray[Any, np.dtype[np.float64]]


class Plane:
    """Draws a run's pictures.

    Args:
        data: with the training points, which set the limits.
    """

    film = True

    def __init__(self, data: Points) -> None:
        self.data = data
        points = data.split(train=True)[0].flatten(1).cpu()
        low, high = points.amin(0), points.amax(0)
        self.middle = (low + high) / 2
        self.reach = 0.68 * float((high - low).max())
        self.some = data.split(train=False)[0].flatten(1).cpu()[:SHOWN]

    # Pictures, [3, H, W] in [0, 1]

    def real(self, module: GANModule) -> Tensor:
        """Held-out points."""
        image = Image.new("RGB", (FINER * SIDE, FINER * SIDE), EVEN)
        self._dots(ImageDraw.Draw(image, "RGBA"), self.some, SAMPLE)
        self._modes(ImageDraw.Draw(image, "RGBA"), None)
        return self._finished(image, "held-out points")

    def fake(self, module: GANModule) -> Tensor:
        """Generated points over the surface, with arrows; modes that they miss are red."""
        samples = _sampled(module, COUNTED)
        image, said = self._surface(module, samples)
        draw = ImageDraw.Draw(image, "RGBA")
        counts, words = self._found(samples)
        self._modes(draw, counts)
        self._dots(draw, samples[:SHOWN], SAMPLE)
        seen = f"{module.images_seen:,} points seen"
        return self._finished(image, "   ".join([seen, *words]), said)

    def interpolation(self, module: GANModule) -> Tensor:
        """Ways of generated points from one latent to another, over the surface."""
        samples = _sampled(module, COUNTED)
        image, said = self._surface(module, samples)
        draw = ImageDraw.Draw(image, "RGBA")
        self._modes(draw, self._found(samples)[0])
        start, end = module.seeded_latents(2 * WAYS).chunk(2)
        latents = slerp(start, end, STEPS).flatten(0, 1)
        ways = module.sample(latents, module.no_classes.expand(len(latents)))
        for way in self._places(ways.flatten(1).cpu()).reshape(WAYS, STEPS, 2):
            draw.line([tuple(place) for place in way], SAMPLE, 2 * FINER, "curve")
        return self._finished(image, "ways from one latent to another", said)

    # Layers

    def _surface(self, module: GANModule, samples: Tensor) -> tuple[Image.Image, tuple[str, str]]:
        """The logits as colours and their slopes as arrows; the logits of both full colours."""
        ticks = (torch.arange(CELLS) + 0.5) * (2 / CELLS) - 1
        grid = torch.cartesian_prod(-ticks, ticks).flip(1) * self.reach + self.middle
        both = torch.cat([self.some[:JUDGED], samples[: len(self.some[:JUDGED])]])
        logits, slopes = surface(module, torch.cat([grid, both]), samples)
        logits, of_both = logits[: len(grid)], logits[len(grid) :]
        # Where logits have no zero, white lies in the middle between real and generated points.
        even = 0.0 if module.game.has_zero else float(of_both.mean())
        strong = float((logits - even).abs().quantile(0.95))
        strong = max(strong, FLAT if module.game.has_zero else 1e-12)
        bent = ((logits - even) / strong * BEND).asinh() / math.asinh(BEND)
        share = bent.clamp(-1, 1).view(CELLS, CELLS, 1).numpy()
        ends = np.where(share < 0, GENERATED, REAL)
        colours = EVEN + np.abs(share) * (ends - np.array(EVEN))
        image = Image.fromarray(colours.round().astype(np.uint8))
        image = image.resize((FINER * SIDE, FINER * SIDE), Image.Resampling.BICUBIC)
        chosen = torch.arange(EVERY // 2, CELLS, EVERY)
        chosen = (chosen[:, None] * CELLS + chosen).flatten()
        self._arrows(ImageDraw.Draw(image, "RGBA"), grid[chosen], slopes[chosen])
        return image, (f"{even - strong:.2g}", f"{even + strong:.2g}")

    def _arrows(self, draw: ImageDraw.ImageDraw, points: Tensor, slopes: Tensor) -> None:
        """Arrows; the root of their length is proportional to that of the slopes."""
        size = slopes.norm(dim=1, keepdim=True)
        longest = 0.8 * FINER * SIDE * EVERY / CELLS
        share = (size / size.quantile(0.95).clamp_min(1e-12)).clamp(max=1).sqrt()
        way = slopes / size.clamp_min(1e-12) * share * longest
        way = (way * torch.tensor([1.0, -1.0])).double().numpy()
        tails = self._places(points) - way / 2
        heads = tails + way
        side = way[:, ::-1] * [1, -1]
        barbs = heads - 0.3 * way, 0.16 * side
        for tail, head, neck, off in zip(tails, heads, *barbs, strict=True):
            draw.line([*tail, *head], ARROW, FINER)
            draw.polygon([*head, *(neck + off), *(neck - off)], ARROW)

    def _modes(self, draw: ImageDraw.ImageDraw, counts: Tensor | None) -> None:
        """Circles around the modes, or dots of the data if there are none.

        Args:
            draw: into the picture.
            counts: samples of each mode; None: not known.
        """
        mixture = self.data.mixture
        if not isinstance(mixture, Gaussians):
            self._dots(draw, self.some, DATA)
            return
        radius = max(NEAR * mixture.std / (2 * self.reach) * FINER * SIDE, 4 * FINER) + 2 * FINER
        for number, place in enumerate(self._places(mixture.means)):
            colour = LOST if counts is not None and not counts[number] else FOUND
            box = [*(place - radius), *(place + radius)]
            draw.ellipse(box, outline=colour, width=2 * FINER)

    def _dots(self, draw: ImageDraw.ImageDraw, points: Tensor, colour: tuple[int, ...]) -> None:
        radius = 1.6 * FINER
        for place in self._places(points):
            draw.ellipse([*(place - radius), *(place + radius)], fill=colour)

    def _finished(
        self, image: Image.Image, text: str, said: tuple[str, str] | None = None
    ) -> Tensor:
        """The picture in its final size, with a line of text and the scale of the colours."""
        whole = Image.new("RGB", (SIDE, SIDE + TEXT), "white")
        whole.paste(image.reduce(FINER))
        draw, font = ImageDraw.Draw(whole), ImageFont.load_default(13)
        line = SIDE + TEXT // 2
        draw.text((10, line), text, "black", font, "lm")
        if said is not None:
            right = SIDE - 10
            draw.text((right, line), f"{said[1]} real", REAL, font, "rm")
            right -= round(draw.textlength(f"{said[1]} real", font)) + 8
            bar = Image.new("RGB", (3, 1))
            bar.putdata([GENERATED, EVEN, REAL])
            whole.paste(bar.resize((48, 10), Image.Resampling.BILINEAR), (right - 48, line - 5))
            draw.text((right - 56, line), said[0], GENERATED, font, "rm")
        return torch.from_numpy(np.array(whole)).permute(2, 0, 1) / 255

    def _found(self, samples: Tensor) -> tuple[Tensor | None, list[str]]:
        """Number of samples of each mode, and what is said of them."""
        mixture = self.data.mixture
        if not isinstance(mixture, Gaussians):
            return None, []
        modes = mixture.modes_of(samples)
        counts = (modes + 1).bincount(minlength=mixture.labels + 1)[1:]
        near = float((modes >= 0).double().mean())
        found = f"{int((counts > 0).sum())} of {mixture.labels} modes"
        return counts, [found, f"{near:.0%} near one"]

    def _places(self, points: Tensor) -> Numbers:
        """Points `[N, 2]` to pixels."""
        offsets = (points.double() - self.middle.double()).numpy() * [1, -1]
        places: Numbers = (offsets / (2 * self.reach) + 0.5) * (FINER * SIDE)
        return places


def surface(module: GANModule, points: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """The discriminator's logits `[N]` of points `[N, 2]`, and its slopes there `[N, 2]`.

    A discriminator of packs judges each point together with others `[M, 2]`, several times.
    """
    network = module.discriminator
    packed = network.images - 1 if isinstance(network, Packed) else 0
    weight = next(network.parameters())
    here = points.to(weight, copy=True)
    was_training = network.training
    network.eval()
    try:
        with torch.enable_grad():
            here.requires_grad_()
            logits = torch.zeros_like(here[:, 0])
            rounds = PACKS if packed else 1
            for number in range(rounds):
                # The same others for all points, else the surface would be rough.
                beside = torch.arange(number * packed, (number + 1) * packed) % len(others)
                packs = [here[:, None], others[beside].to(here).expand(len(points), packed, 2)]
                images = torch.cat(packs, dim=1).view(-1, 2, 1, 1)
                classes = module.no_classes.expand(len(images))
                logits = logits + network(images, classes).to(here) / rounds
            (slopes,) = torch.autograd.grad(logits.sum(), here)
    finally:
        network.train(was_training)
    return logits.detach().float().cpu(), slopes.float().cpu()


def _sampled(module: GANModule, count: int) -> Tensor:
    """Generated points `[count, 2]` of fixed latents."""
    classes = torch.arange(count, device=module.device) % module.num_classes
    return module.sample(module.seeded_latents(count), classes).flatten(1).cpu()
