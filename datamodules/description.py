"""What a prepared set is: the JSON file beside its pixels."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from datamodules.chunks import PixelFile

NAME, PIXELS, LABELS = "description.json", "images.npy", "labels.npy"


def labels_hash(labels: Sequence[int]) -> str:
    """SHA-256 of labels."""
    return hashlib.sha256(repr([*labels]).encode()).hexdigest()


class DamagedError(Exception):
    """A prepared set can't be used; the text says why."""


@dataclass(frozen=True)
class Description:
    """What a prepared set is made of.

    Attributes:
        data: class of the data module.
        what: training or held-out images.
        place: where the images came from.
        class_names: names of the classes in use.
        key: a hash of all that the pixels depend on.
        shape: number of images, height, width, channels.
        decoding: options of their decoding.
        made_of: SHA-256 of the source's lines.
        pixels: SHA-256 of the chunks' SHA-256.
        labels: SHA-256 of the labels.
        made: date and time.
        rate: images per second.
        pillow: version of the library that decoded.
    """

    data: str
    what: str
    place: str
    class_names: list[str]
    key: str
    shape: tuple[int, int, int, int]
    decoding: dict[str, Any]
    made_of: str
    pixels: str
    labels: str
    made: str
    rate: float
    pillow: str

    def write(self, folder: Path) -> None:
        """Write it, with a checksum of its own."""
        content = asdict(self)
        content["checksum"] = _checksum(asdict(self))
        (folder / NAME).write_text(json.dumps(content, indent=2) + "\n")

    @classmethod
    def read(cls, folder: Path) -> "Description":
        """Read it, and check what can be checked at once: itself, and the size of the pixels.

        Raises:
            DamagedError: the set can't be used.
        """
        try:
            content = json.loads((folder / NAME).read_text())
            if content.pop("checksum") != _checksum(content):
                raise DamagedError(f"the checksum of {NAME} is wrong")
            content["shape"] = tuple(content["shape"])
            read = cls(**{field.name: content[field.name] for field in fields(cls)})
            file = read.file(folder)
            with file.path.open("rb") as stream:
                header = stream.read(len(file.header))
            if header != file.header or file.path.stat().st_size != file.bytes:
                raise DamagedError(
                    f"{PIXELS} has {file.path.stat().st_size:,} bytes, or another "
                    f"header, in place of {file.bytes:,} bytes"
                )
        except OSError as error:
            raise DamagedError(f"{error.filename}: {error.strerror}") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedError(f"{NAME} can't be read ({error})") from error
        return read

    def file(self, folder: Path) -> PixelFile:
        """The file of the pixels."""
        return PixelFile(folder / PIXELS, self.shape)

    @property
    def age(self) -> str:
        """When it was made, to the minute."""
        return f"{datetime.fromisoformat(self.made):%Y-%m-%d %H:%M}"

    def __str__(self) -> str:
        """A line about it."""
        count, height, width, channels = self.shape
        size = self.file(Path()).bytes / 1e6
        return (
            f"{count:,} {self.what} of {height}x{width}x{channels} from {self.place}, "
            f"{size:,.1f} MB, made on {self.age} at {self.rate:,.0f} images/s"
        )


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
