"""The page of `cli.py explore`: a picture and its controls."""

import asyncio
from base64 import b64decode, b64encode
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import Any

from nicegui import ui

from minmax.generation.explorer import MOST, REACH, STEPS, Choice, Explorer

PNG = "data:image/png;base64,"


def offered(value: object, least: float, most: float) -> bool:
    """Whether a value lies in the page's range: a browser can send any value."""
    return isinstance(value, int | float) and least <= value <= most


def page_of(explorer: Explorer) -> Callable[[], None]:
    """The page's function, which NiceGUI calls for each visitor.

    A thread draws the pictures one at a time, each visitor's in turn. Only the newest of the
    choices that a visitor makes while waiting is drawn.
    """
    executor, turn = ThreadPoolExecutor(1), asyncio.Lock()

    def page() -> None:
        choice = Choice(along=[0.0] * len(explorer.directions))
        visitor, waits = ui.context.client, False

        async def show() -> None:
            nonlocal waits
            if waits:
                return
            waits = True
            async with turn:
                waits = False
                if not visitor.has_socket_connection:
                    return  # `on_connect` shows the picture when the visitor returns
                loop = asyncio.get_running_loop()
                content = await loop.run_in_executor(executor, explorer.png, deepcopy(choice))
            if visitor.has_socket_connection:
                picture.set_source(PNG + b64encode(content).decode())

        async def choose(name: str, value: Any, least: float, most: float) -> None:
            if offered(value, least, most):
                setattr(choice, name, type(getattr(choice, name))(value))
                await show()

        async def go(index: int, distance: Any) -> None:
            if offered(distance, -REACH, REACH):
                choice.along[index] = distance
                await show()

        def download() -> None:
            if picture.source:
                ui.download(b64decode(picture.source.removeprefix(PNG)), "images.png")

        def number(name: str, label: str, least: int, most: int) -> None:
            ui.number(
                label,
                value=getattr(choice, name),
                min=least,
                max=most,
                precision=0,
                on_change=lambda e: choose(name, e.value, least, most),
            ).classes("w-24")

        def slider(
            label: str,
            least: float,
            most: float,
            on_change: Callable[..., object],
            value: float = 0,
            steps: int = STEPS - 1,
        ) -> None:
            ui.label(label).classes("text-sm text-gray-500 mt-2")
            step = (most - least) / steps
            moved = ui.slider(min=least, max=most, step=step, value=value, on_change=on_change)
            sliders.append((moved.props(f'label aria-label="{label}"').classes("w-full"), value))

        ui.dark_mode(None)  # the browser's setting
        ui.label(explorer.name).classes("text-lg break-all")
        sliders: list[tuple[ui.slider, float]] = []
        with ui.row().classes("w-full gap-8"):
            with ui.column().classes("w-80 max-w-full gap-0"):
                with ui.row().classes("gap-3"):
                    number("count", "images", 1, MOST)
                    number("seed", "seed", 0, 2**31)
                    number("other_seed", "other seed", 0, 2**31)
                if explorer.model.conditional:
                    names = {-1: "each in turn", **dict(enumerate(explorer.class_names))}
                    ui.select(
                        names,
                        value=-1,
                        label="class",
                        on_change=lambda e: choose("label", e.value, -1, len(names) - 2),
                    ).classes("w-full")
                slider("way to the other seed", 0, 1, lambda e: choose("way", e.value, 0, 1))
                if styles := explorer.styles:
                    slider("truncation psi", 0, 1, lambda e: choose("psi", e.value, 0, 1), 1)
                    slider(
                        f"the other seed's styles, from this one of {styles} on",
                        *(0, styles, lambda e: choose("first", e.value, 0, styles)),
                        *(styles, styles),
                    )
                for index, share in enumerate(explorer.shares.tolist()):
                    name = f"direction {index + 1}, {share:.1%} of the variance"
                    slider(name, -REACH, REACH, lambda e, index=index: go(index, e.value))
                with ui.row().classes("mt-4"):
                    ui.button("reset", on_click=lambda: [s.set_value(v) for s, v in sliders])
                    ui.button("download", on_click=download)
            picture = ui.image().classes("w-[36rem] max-w-full").style("image-rendering: pixelated")
            # On a phone it stays above the sliders, and visible while they are moved.
            picture.classes("order-first md:order-none sticky top-0 z-10")
        visitor.on_connect(show)

    return page
