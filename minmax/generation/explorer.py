"""The images that `cli.py explore` shows for chosen seeds, directions and classes."""

from dataclasses import dataclass, field
from io import BytesIO

import torch

from gan_modules.latents import slerp
from gan_modules.to_bytes import to_uint8
from minmax.checkpoints.reading import load_model
from minmax.errors import UserError
from minmax.generation.directions import principal_directions
from minmax.generation.grids import grid

STEPS = 101
MOST = 256
REACH = 4.0
"""How far the sliders go; the latents' standard deviation is 1."""


@dataclass
class Choice:
    """What a visitor has chosen to see.

    Attributes:
        count: number of images.
        seed: of their latents.
        other_seed: of the latents at the other end of the interpolation.
        way: position between the two, from 0 to 1.
        label: class, for a class-conditional generator; -1: each in turn.
        along: distance along each direction.
    """

    count: int = 16
    seed: int = 0
    other_seed: int = 1
    way: float = 0.0
    label: int = -1
    along: list[float] = field(default_factory=list)


class Explorer:
    """A checkpoint's generator, and the directions of its latents.

    Args:
        checkpoint: of a run.
        count: number of directions.
    """

    def __init__(self, checkpoint: str, count: int) -> None:
        self.model, names = load_model(checkpoint)
        self.class_names = names or [str(number) for number in range(self.model.num_classes)]
        self.name = f"{type(self.model).__name__}, {checkpoint}"
        if not 1 <= count <= self.model.latent_dim:
            raise UserError(
                f"--directions must lie between 1 and {self.model.latent_dim}, got {count}"
            )
        self.directions, self.shares = principal_directions(self.model, count)

    def png(self, choice: Choice) -> bytes:
        """A grid of the chosen images."""
        model = self.model
        latents = model.seeded_latents(choice.count, choice.seed)
        if choice.way > 0:
            end = model.seeded_latents(choice.count, choice.other_seed)
            latents = slerp(latents, end, STEPS)[:, round(choice.way * (STEPS - 1))]
        for distance, direction in zip(choice.along, self.directions, strict=False):
            latents = latents + distance * direction
        labels = torch.arange(choice.count) % model.num_classes
        if choice.label >= 0:
            labels = torch.full_like(labels, choice.label)
        pixels = to_uint8(model.sample(latents, labels)).permute(0, 2, 3, 1).numpy()
        content = BytesIO()
        grid(pixels, max(1, round(choice.count**0.5))).save(content, "PNG")
        return content.getvalue()
