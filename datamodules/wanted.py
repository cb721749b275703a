"""Which prepared set a data module asks for, and where it lies."""

import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

from datamodules.chunks import PixelFile
from datamodules.decode import Decoding
from datamodules.description import PIXELS, labels_hash
from datamodules.names import printable
from datamodules.sources import Source
from minmax.errors import UserError
from minmax.paths import cache_folder, expanded

FORMAT = 2
"""To be raised when the same options decode to other pixels."""


@dataclass(frozen=True)
class Wanted:
    """A prepared set that a data module asks for.

    Args:
        source: the encoded images.
        labels: their classes.
        decoding: what they become.
        data: class of the data module.
        what: training or held-out images.
        place: where they come from.
        class_names: of the classes in use.
        folder: of prepared sets; None means that in the cache folder.
    """

    source: Source
    labels: Sequence[int]
    decoding: Decoding
    data: str
    what: str
    place: str
    class_names: Sequence[str]
    folder: str | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Number of images, height, width, channels."""
        return len(self.source), *self.decoding.shape

    @cached_property
    def made_of(self) -> str:
        """SHA-256 of the source's lines."""
        return made_of(self.source)

    @cached_property
    def label_hash(self) -> str:
        """SHA-256 of the labels."""
        return labels_hash(self.labels)

    @cached_property
    def key(self) -> str:
        """SHA-256 of all that the set depends on."""
        held = [FORMAT, self.shape, asdict(self.decoding), self.made_of, self.label_hash]
        return hashlib.sha256(json.dumps(held, sort_keys=True).encode()).hexdigest()

    @cached_property
    def home(self) -> Path:
        """The set's folder."""
        return home_of_sets(self.folder) / f"{self.data}-{self.key[:20]}"

    @property
    def file(self) -> PixelFile:
        """Its file of pixels."""
        return PixelFile(self.home / PIXELS, self.shape)


def home_of_sets(folder: str | None) -> Path:
    """Where prepared sets lie; None means in the cache folder."""
    return Path(expanded(folder)) if folder else cache_folder() / "prepared"


def made_of(source: Source) -> str:
    """SHA-256 of a source's lines.

    Raises:
        UserError: an archive has vanished, or has changed.
    """
    digest = hashlib.sha256()
    try:
        for line in source.made_of():
            digest.update(line.encode("utf-8", "surrogateescape") + b"\n")
    except OSError as error:
        if error.filename is None:  # by `reading.check`
            raise UserError(f"the data {error}") from error
        raise UserError(
            f"{printable(str(error.filename))} can't be reached ({error.strerror})"
        ) from error
    return digest.hexdigest()


def say(text: str) -> None:
    """Print a line on the process that works, whatever its rank."""
    print(text, file=sys.stderr, flush=True)
