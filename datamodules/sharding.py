"""Writes shards (datamodules/shards.py) of any data whose images are encoded."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy
from PIL import Image

from datamodules.bars import bar_of
from datamodules.base import ImageDataModule
from datamodules.decode import BrokenFilesError, UnreadableError, own_limit
from datamodules.shards import ABOUT, SPLITS, Item, engine
from datamodules.sources import Encoded
from minmax.errors import FULL, UserError

CHUNK = "64MB"
"""Of a chunk: what an object store gives at its full speed."""
_GROUP = 512


def write_shards(data: ImageDataModule, out: Path) -> str:
    """Write the images of both splits, encoded as they are, and decode each to see that it can be.

    Args:
        data: the images.
        out: a new folder; it appears when all is written.

    Returns:
        A line about it.

    Raises:
        UserError: the folder is there, the data needs no decoding, images can't be read, or there
            is no room.
    """
    engine()
    refuse_taken(out)
    part, broken = out.with_name(f"{out.name}.part"), dict[str, str]()
    try:
        for train, name in SPLITS.items():
            broken |= _write(data, train, part / name)
        if broken:
            raise BrokenFilesError({name: broken[name] for name in sorted(broken)})
        counts = {name: data.counts(train) for train, name in SPLITS.items()}
        about = {"classes": data.class_names, "counts": counts, "held_out_by": data.split_rule}
        (part / ABOUT).write_text(json.dumps(about, indent=1))
        part.rename(out)
    except OSError as error:
        if isinstance(error, UserError) or error.errno not in FULL:
            raise
        raise UserError(
            f"--shards {out} can't be written ({error.strerror}): make room, or give another folder"
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    total = {name: f"{sum(of_class):,}" for name, of_class in counts.items()}
    size = sum(file.stat().st_size for file in out.rglob("*.bin"))
    return (
        f"{out}: {total['train']} training + {total['held_out']} held-out images, "
        f"{size / 1e6:,.1f} MB"
    )


def refuse_taken(out: Path) -> None:
    """Refuse a folder that is there, or being written.

    Raises:
        UserError: it is.
    """
    for folder in (out, out.with_name(f"{out.name}.part")):
        if folder.exists():
            raise UserError(f"--shards: {folder} is there already: delete it, or give another name")


def _write(data: ImageDataModule, train: bool, folder: Path) -> dict[str, str]:
    """Write a split; return the files that can't be decoded, with what is wrong."""
    from litdata.streaming import Cache

    source, of_class = data.source(train), {old: new for new, old in enumerate(data.selected)}
    if source is None:
        raise UserError(f"{type(data).__name__} needs no decoding: there is nothing to stream")
    labels, broken = data.labels_of(train), dict[str, str]()

    def read(index: int) -> Item:
        encoded = b""
        try:
            encoded = _encoded(source.read(index))
            data.decoding(encoded)
        except (UnreadableError, OSError) as error:
            broken[source.name(index)] = str(error)
        return encoded, of_class[labels[index]]

    folder.mkdir(parents=True)
    writer, order = Cache(str(folder), chunk_bytes=CHUNK), shuffled(len(source))
    bar = bar_of(f"Writing {data.what(train)}", "image", len(order))
    with bar, own_limit(), ThreadPoolExecutor() as pool:
        for start in range(0, len(order), _GROUP):
            for place, item in enumerate(pool.map(read, order[start : start + _GROUP]), start):
                writer[place] = item
                bar.update()
    writer.done()
    writer.merge()
    return broken


def shuffled(images: int) -> list[int]:
    """The order of so many images in their shards."""
    return numpy.random.default_rng(0).permutation(images).tolist()


def _encoded(image: Encoded) -> bytes:
    if isinstance(image, str):
        return Path(image).read_bytes()
    if isinstance(image, bytes):
        return image
    file = BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()
