"""Draws what augmentations do to an image, each at several strengths.

python -m minmax.generation.augmentations --output FILE.png --data datamodules.Digits
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jsonargparse import ArgumentParser
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor

from datamodules import ImageDataModule
from gan_modules.parts import Colour, Cutout, InstanceNoise, Translation
from gan_modules.parts.ada.draws import TRANSFORMS, Transform
from gan_modules.parts.ada.shown import NAMES, shown
from minmax.files import whole
from minmax.values import to_uint8

COLUMNS, PANELS = 7, 2
SIDE, LABEL, MARGIN = 64, 140, 2
"""Pixels: of small images, which are enlarged; beside them for the name; between them."""


@dataclass(frozen=True)
class Row:
    """One transform.

    Attributes:
        name: its name in the picture.
        change: changes an image `[1, C, H, W]` by a strength from -1, the least draw, to 1, the
            greatest; of a normal draw these are -2 and 2 standard deviations.
    """

    name: str
    change: Callable[[Tensor, float], Tensor]


def rows() -> list[Row]:
    """All transforms, in the order in which an image goes through them."""
    return [Row("instance noise", noise), *diffaugment(), *ada()]


def noise(image: Tensor, strength: float) -> Tensor:
    """Instance noise with a standard deviation from 0 to 0.8."""
    return InstanceNoise(0.4 + 0.4 * strength).fake(image)


def diffaugment() -> list[Row]:
    """Its groups; those with several draws have a row for each."""
    colour, translation, cutout = Colour(), Translation(), Cutout()

    def coloured(*amounts: float) -> Callable[[Tensor, float], Tensor]:
        def change(image: Tensor, strength: float) -> Tensor:
            draws = torch.tensor((0.0, 1.0, 1.0)) + strength * torch.tensor(amounts)
            return colour.changed(image, *draws.unsqueeze(1))

        return change

    def translated(image: Tensor, strength: float) -> Tensor:
        return translation.changed(
            image, *(torch.tensor([round(side / 8 * strength)]) for side in image.shape[2:])
        )

    def cut(image: Tensor, strength: float) -> Tensor:
        return cutout.changed(
            image, *(torch.tensor([round(side * (1 + strength) / 2)]) for side in image.shape[2:])
        )

    return [
        Row("Diff: brightness", coloured(0.5, 0, 0)),
        Row("Diff: saturation", coloured(0, 1, 0)),
        Row("Diff: contrast", coloured(0, 0, 0.5)),
        Row("Diff: translation", translated),
        Row("Diff: cutout", cut),
    ]


def ada() -> list[Row]:
    """Its 18 transforms."""
    labels = {each.name: each.name.replace("_", " ") for each in TRANSFORMS} | {
        "turn_before": "turn"
    }

    def alone(transform: Transform) -> Callable[[Tensor, float], Tensor]:
        def change(image: Tensor, strength: float) -> Tensor:
            if transform.whole:
                strength = (1 + strength) / 2 * (transform.high[0] - 1)
            elif transform.name == "cutout":
                strength = (1 + strength) / 2
            elif transform.name == "noise":
                strength = 1 + strength
            elif transform.std:
                strength *= 2
            return shown(image, transform.name, strength)

        return change

    every = [transform for transform in TRANSFORMS if transform.name in NAMES]
    return [Row(f"ADA: {labels[each.name]}", alone(each)) for each in every]


def sheet(image: Tensor, every: Sequence[Row]) -> Image.Image:
    """The rows of changes of an image `[1, C, H, W]` in [-1, 1], in panels side by side."""
    scale = max(1, SIDE // max(image.shape[2:]))
    cell, height = scale * max(image.shape[2:]) + MARGIN, -(-len(every) // PANELS)
    width = LABEL + COLUMNS * cell
    picture = Image.new("RGB", (PANELS * width, height * cell), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(14)
    torch.manual_seed(0)  # of noise
    for number, row in enumerate(every):
        panel, line = divmod(number, height)
        left, top = panel * width + LABEL, line * cell
        pen.text((left - 8, top + cell / 2), row.name, "black", font, anchor="rm")
        for column, strength in enumerate(torch.linspace(-1, 1, COLUMNS).tolist()):
            pixels = to_uint8(row.change(image, strength))[0].expand(3, -1, -1).permute(1, 2, 0)
            shown = ImageOps.scale(Image.fromarray(pixels.numpy()), scale, 0)
            picture.paste(shown, (left + column * cell, top))
    return picture.quantize(256)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = ArgumentParser(prog="python -m minmax.generation.augmentations", description=__doc__)
    parser.add_argument("--output", required=True, help="FILE.png")
    parser.add_argument("--image", type=int, default=0, help="number of a held-out image")
    parser.add_subclass_arguments(ImageDataModule, "data", default="datamodules.Digits")
    options = parser.parse_args(arguments)
    data: ImageDataModule = parser.instantiate(options).data
    data.prepare_data()
    pixels, _ = data.split(train=False)
    if not 0 <= options.image < len(pixels):
        parser.error(f"--image {options.image}: choose from 0 to {len(pixels) - 1}")
    image = pixels[options.image : options.image + 1].float() / 127.5 - 1
    with whole(options.output) as part:
        sheet(image, rows()).save(part, format="PNG")


if __name__ == "__main__":
    main()
