"""The images that `cli.py explore` shows for chosen seeds, directions and classes."""

from dataclasses import dataclass, field
from io import BytesIO

import torch
from torch import Tensor

from gan_modules.latents import slerp
from minmax.checkpoints.reading import load_model
from minmax.errors import UserError
from minmax.generation.directions import principal_directions
from minmax.generation.grids import grid
from minmax.generation.styles import images_of, w_of
from minmax.values import to_uint8

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
        psi: truncation, of generators with a mapping.
        first: number of the first style that the other seed's latents give; all styles are left
            alone if there are no more.
    """

    count: int = 16
    seed: int = 0
    other_seed: int = 1
    way: float = 0.0
    label: int = -1
    along: list[float] = field(default_factory=list)
    psi: float = 1.0
    first: int = MOST


class Explorer:
    """A checkpoint's generator, and the directions of its latents.

    Args:
        checkpoint: of a run.
        count: number of directions.
    """

    def __init__(self, checkpoint: str, count: int) -> None:
        self.model, names = load_model(checkpoint)
        if self.model.generator.of_points:
            raise UserError(
                f"--checkpoint {checkpoint} draws points in the plane, and explore shows images: "
                "look at pictures/ in its run's folder"
            )
        self.class_names = names or [str(number) for number in range(self.model.num_classes)]
        self.name = f"{type(self.model).__name__}, {checkpoint}"
        if not 1 <= count <= self.model.latent_dim:
            raise UserError(
                f"--directions must lie between 1 and {self.model.latent_dim}, got {count}"
            )
        self.styles: int = getattr(self.model.drawing_network, "styles", 0)
        self.directions, self.shares = principal_directions(self.model, count)

    def png(self, choice: Choice) -> bytes:
        """A grid of the chosen images."""
        images = self.styled(choice) if self.styles else self.plain(choice)
        pixels = to_uint8(images).permute(0, 2, 3, 1).numpy()
        content = BytesIO()
        grid(pixels, max(1, round(choice.count**0.5))).save(content, "PNG")
        return content.getvalue()

    def ends(self, choice: Choice) -> tuple[Tensor, Tensor, Tensor]:
        """Latents of both seeds, and labels."""
        labels = torch.arange(choice.count) % self.model.num_classes
        if choice.label >= 0:
            labels = torch.full_like(labels, choice.label)
        start, end = (
            self.model.seeded_latents(choice.count, seed)
            for seed in (choice.seed, choice.other_seed)
        )
        return start, end, labels

    def plain(self, choice: Choice) -> Tensor:
        """The chosen images, by way of the latents."""
        latents, end, labels = self.ends(choice)
        if choice.way > 0:
            latents = slerp(latents, end, STEPS)[:, round(choice.way * (STEPS - 1))]
        return self.model.sample(self.moved(latents, choice), labels)

    def styled(self, choice: Choice) -> Tensor:
        """The chosen images, by way of w."""
        start, end, labels = self.ends(choice)
        w, other = w_of(self.model, start, labels), w_of(self.model, end, labels)
        moved = self.moved(torch.lerp(w, other, choice.way), choice)
        if choice.first >= self.styles:
            return images_of(self.model, moved, choice.psi, None, 0)
        return images_of(self.model, moved, choice.psi, other, choice.first)

    def moved(self, vectors: Tensor, choice: Choice) -> Tensor:
        """Latents, or w, moved along the directions."""
        for distance, direction in zip(choice.along, self.directions, strict=False):
            vectors = vectors + distance * direction
        return vectors
