"""What the page of `cli.py explore` shows: images for chosen seeds, directions and classes."""

from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import torch
from nicegui import ui
from nicegui.events import ValueChangeEventArguments

from gan_modules.images import to_uint8
from gan_modules.latents import slerp
from minmax.commands.checkpoint import load_model
from minmax.commands.directions import principal_directions
from minmax.commands.films import grid

STEPS = 101
MOST = 256
REACH = 4.0
"""How far the sliders go; the latents' standard deviation is 1."""


@dataclass
class Choice:
    """What is to be seen.

    Attributes:
        count: number of images.
        seed: of their latents.
        other_seed: of the latents at the other end of the way.
        way: how far towards these, from 0 to 1.
        label: class of a class-conditional generator; -1: each in turn.
        along: how far along each direction.
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
            raise ValueError(
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


def page_of(explorer: Explorer) -> Callable[[], None]:
    """The page's function, which NiceGUI calls for each visitor."""

    def page() -> None:
        choice = Choice(along=[0.0] * len(explorer.directions))

        def show() -> None:
            content = b64encode(explorer.png(choice)).decode()
            picture.set_source(f"data:image/png;base64,{content}")

        def choose(name: str, value: Any) -> None:
            if value is not None:
                setattr(choice, name, value)
                show()

        def go(index: int, distance: float) -> None:
            choice.along[index] = distance
            show()

        def number(name: str, label: str, least: int, most: int) -> None:
            def changed(event: ValueChangeEventArguments[float | None]) -> None:
                if event.value is not None and least <= event.value <= most:
                    choose(name, int(event.value))

            value = getattr(choice, name)
            ui.number(
                label, value=value, min=least, max=most, precision=0, on_change=changed
            ).classes("w-24")

        def slider(label: str, least: float, most: float, on_change: Callable[..., None]) -> None:
            ui.label(label).classes("text-sm text-gray-500 mt-2")
            step = (most - least) / (STEPS - 1)
            moved = ui.slider(min=least, max=most, step=step, value=0, on_change=on_change)
            sliders.append(moved.props(f'label aria-label="{label}"').classes("w-full"))

        ui.dark_mode(None)  # as the browser has it
        ui.label(explorer.name).classes("text-lg break-all")
        sliders: list[ui.slider] = []
        with ui.row().classes("w-full gap-8"):
            with ui.column().classes("w-80 max-w-full gap-0"):
                with ui.row().classes("gap-3"):
                    number("count", "images", 1, MOST)
                    number("seed", "seed", 0, 2**31)
                    number("other_seed", "other seed", 0, 2**31)
                if explorer.model.conditional:
                    names = {-1: "each in turn", **dict(enumerate(explorer.class_names))}
                    ui.select(
                        names, value=-1, label="class", on_change=lambda e: choose("label", e.value)
                    ).classes("w-full")
                slider("way to the other seed", 0, 1, lambda e: choose("way", e.value))
                for index, share in enumerate(explorer.shares.tolist()):
                    name = f"direction {index + 1}, {share:.1%} of the variance"
                    slider(name, -REACH, REACH, lambda e, index=index: go(index, e.value))
                with ui.row().classes("mt-4"):
                    ui.button("reset", on_click=lambda: [s.set_value(0) for s in sliders])
                    ui.button(
                        "download", on_click=lambda: ui.download(explorer.png(choice), "images.png")
                    )
            picture = ui.image().classes("w-[36rem] max-w-full").style("image-rendering: pixelated")
            # On a phone above the sliders, and in sight while they are moved.
            picture.classes("order-first md:order-none sticky top-0 z-10")
        show()

    return page
