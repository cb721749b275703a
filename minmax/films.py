"""Writes images as films, and finds the pictures of a run for them."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
"""Images uint8 `[N, H, W, C]`."""

MOST = 300
"""Pictures of a run in a film or a page: a long run has thousands, too many for the memory."""


def pictures_in(folder: Path) -> list[tuple[int, Path]]:
    """The pictures `fake_IMAGES.png` of a run, by images seen; of more than `MOST`, evenly some."""
    found = [
        (int(name[1]), file)
        for file in folder.glob("fake_*.png")
        if (name := re.fullmatch(r"fake_(\d+)", file.stem, re.ASCII))
    ]
    found.sort()
    if len(found) <= MOST:
        return found
    return [found[number * (len(found) - 1) // (MOST - 1)] for number in range(MOST)]


def write_gif(pixels: Pixels, file: Path, frames_per_second: int) -> None:
    """Write an animation that repeats."""
    first, *others = [Image.fromarray(image.squeeze()) for image in pixels]
    first.save(
        file, save_all=True, append_images=others, duration=1000 // frames_per_second, loop=0
    )


def write_mp4(pixels: Pixels, file: Path, frames_per_second: int) -> None:
    """Write an H.264 film, enlarged so that players show it; needs PyAV."""
    import av

    size = max(1, 256 // pixels.shape[1])
    size += size * pixels.shape[1] % 2  # H.264 needs even sides
    with av.open(str(file), "w") as film:
        stream = film.add_stream("libx264", rate=frames_per_second)
        stream.height, stream.width = (side * size for side in pixels.shape[1:3])
        stream.pix_fmt = "yuv420p"
        for image in pixels:
            enlarged = image.repeat(size, axis=0).repeat(size, axis=1)
            frame = av.VideoFrame.from_ndarray(
                np.broadcast_to(enlarged, (*enlarged.shape[:2], 3)).copy(), format="rgb24"
            )
            film.mux(stream.encode(frame))
        film.mux(stream.encode())
