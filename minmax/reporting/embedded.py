"""Embeds pictures into a page as data URLs."""

import base64
import warnings
from io import BytesIO
from pathlib import Path

from PIL import Image


def picture(run: Path, name: str) -> str | None:
    """A picture of the run as a data URL; None if it is missing or damaged."""
    file = run / "pictures" / f"{name}.png"
    if not file.is_file():
        return None
    try:
        with Image.open(file) as image:
            channels = image.convert("RGB").split()
    except Exception as error:  # a damaged file can make Pillow raise anything
        warnings.warn(f"{file} is damaged ({error}): the picture is left out", stacklevel=2)
        return None
    gray = all(channel.tobytes() == channels[0].tobytes() for channel in channels)
    content = BytesIO()  # one channel halves the size of gray pictures
    (channels[0] if gray else Image.merge("RGB", channels)).save(content, "PNG", optimize=True)
    return embedded(content.getvalue())


def embedded(content: bytes) -> str:
    """A PNG as a data URL."""
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"
