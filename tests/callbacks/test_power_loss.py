"""After a loss of power, a machine keeps only what was synchronised to the disk.

Before that, the content of files and any of the moves in a folder may be lost. These tests create
every state that can be left of a save, and resume it.
"""

import os
from collections.abc import Iterator
from itertools import chain, combinations
from pathlib import Path

import pytest
import torch

from minmax.callbacks import WholeCheckpoints
from minmax.training.choosing import newest_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:.*is passed over")

Files = dict[str, bytes]
"""Contents by name."""
Event = tuple[str, ...]
"""`("content", name)`, `("names",)`: synchronised; `("move", name, other)`."""


def checkpoint(images: int) -> dict[str, object]:
    weights = {"generator.weight": torch.full((2000,), float(images))}
    return {"state_dict": weights, "optimizer_states": [], "images_seen": images}


def saved(folder: Path, images: int) -> tuple[Files, list[Event]]:
    """Save; the written content, and the events in order."""
    events: list[Event] = []
    written: Files = {}
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        place = Path(f"/dev/fd/{descriptor}").resolve()
        if place.is_file():
            written[place.name] = place.read_bytes()
        events.append(("names",) if place.is_dir() else ("content", place.name))
        fsync(descriptor)

    def noted_replace(source: str | Path, target: str | Path) -> None:
        events.append(("move", Path(source).name, Path(target).name))
        replace(source, target)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", noted_fsync)
        patch.setattr(os, "replace", noted_replace)
        WholeCheckpoints().save_checkpoint(checkpoint(images), folder / "last.ckpt")
    return written, events


def states(before: Files, written: Files, events: list[Event]) -> Iterator[Files]:
    """All states that a loss of power after these events may leave."""
    certain, names_kept = list[Event](), dict(before)
    for event in events:
        if event == ("names",):  # all moves so far are on the disk
            for move in certain:
                apply(names_kept, move, written)
            certain = []
        elif event[0] == "move":
            certain.append(event)
    kept = {event[1] for event in events if event[0] == "content"}
    for name, content in written.items():
        contents = [content] if name in kept else [b"", content[:1000], bytes(len(content))]
        for possible in contents:
            for some in chain.from_iterable(
                combinations(certain, count) for count in range(len(certain) + 1)
            ):
                left = dict(names_kept)
                for move in some:
                    apply(left, move, written | {name: possible})
                yield left


def apply(files: Files, move: Event, written: Files) -> None:
    _, source, target = move
    content = files.pop(source, None) or written.get(source)
    if content is not None:
        files[target] = content


def test_a_whole_checkpoint_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "run" / "checkpoints"
    seen, tried = 0, 0
    for images in (64, 128, 192):
        before = {file.name: file.read_bytes() for file in folder.glob("*.ckpt")}
        written, events = saved(folder, images)
        assert written, "nothing was brought to the disk"
        for done in range(len(events) + 1):
            for left in states(before, written, events[:done]):
                place = tmp_path / f"{images}_{tried}" / "checkpoints"
                place.mkdir(parents=True)
                for name, content in left.items():
                    (place / name).write_bytes(content)
                file = newest_checkpoint(place.parent)
                held = 0 if file is None else torch.load(file)["images_seen"]
                assert held in (seen, images)
                assert held == images or done < len(events)
                tried += 1
        seen = images
    assert tried > 20
