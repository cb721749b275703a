"""Sets of images in shards, written and read by litdata (https://github.com/Lightning-AI/litData).

A set is a folder or a URL with `train/` and `held_out/`, each with litdata's `index.json` and
chunks, and `classes.json`. Images are stored as they were encoded, in one random order: litdata
shuffles the chunks, and the images within each, so a chunk must hold images from all of the set.
"""

import json
import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from datamodules.decode import Decoding, own_limit
from datamodules.images import fill
from minmax.errors import MissingError, UserError
from minmax.paths import cache_folder

ABOUT, INDEX = "classes.json", "index.json"
FORMAT = ["bytes", "int"]
SPLITS = {True: "train", False: "held_out"}
Item = tuple[bytes, int]
"""An encoded image and its class."""


def engine() -> Any:
    """Import litdata.

    Raises:
        UserError: it is not installed.
    """
    try:
        import litdata
    except ImportError as error:
        raise UserError(
            'shards are read and written by the package litdata: pip install ".[streaming]"'
        ) from error
    logging.getLogger("litdata").setLevel(logging.ERROR)  # it advises caches of 25 GB and more
    return litdata


class Shards:
    """A set in shards.

    Args:
        root: its folder or URL.
        cache: folder for the chunks of a URL; None means `streamed` in the cache folder.
        cache_gb: its greatest size in 10^9 bytes; None means three quarters of the free disk.

    Attributes:
        class_names: by label.
        counts: images of each class, by label, of the training and the held-out images.
        held_out_by: how the held-out images were chosen.

    Raises:
        MissingError: it is not there.
        UserError: it is damaged, the cache can't be written, or litdata is not installed.
    """

    def __init__(self, root: str, cache: str | None = None, cache_gb: float | None = None) -> None:
        self.remote = "://" in root or root.startswith("local:")
        self.root = root if self.remote else str(Path(root).expanduser())
        if cache_gb is not None and not 0 < cache_gb < float("inf"):
            raise UserError(f"`cache_gb` is {cache_gb}, but must be above 0: give a size in GB.")
        self.cache_bytes = None if cache_gb is None else int(cache_gb * 1e9)
        self.cache = Path(cache).expanduser() if cache else cache_folder() / "streamed"
        engine()
        with self.readable():
            about = json.loads(self._about())
            self.class_names = [str(name) for name in about["classes"]]
            self.counts: dict[bool, list[int]] = {
                train: [int(of_class) for of_class in about["counts"][name]]
                for train, name in SPLITS.items()
            }
            self.held_out_by = str(about["held_out_by"])
            for train in () if self.remote else (True, False):
                self._check(train, Path(self.root, SPLITS[train]))

    def dataset(self, train: bool, transform: Callable[[Item], Any], **options: Any) -> Any:
        """A split as litdata reads it.

        Args:
            train: the training images, else those held out.
            transform: changes each item.
            options: other arguments of `StreamingDataset`.
        """
        dataset = engine().StreamingDataset(
            f"{self.root.rstrip('/')}/{SPLITS[train]}",
            cache_dir=str(self.cache) if self.remote else None,
            max_cache_size=self.cache_bytes,
            transform=transform,
            **options,
        )
        if self.remote:
            self._check(train, Path(dataset.input_dir.path))
        # Its own ways for local files: they make the order, and the number of workers, depend on
        # the kind of file system and on free memory.
        dataset.posix_fast = None
        return dataset

    def decoded(self, train: bool, count: int, decoding: Decoding) -> tuple[Tensor, Tensor]:
        """Decode the first images of a split, which are random ones.

        Returns:
            Images uint8 `[count, C, H, W]` and labels int64 `[count]`.

        Raises:
            UserError: they can't be read.
        """
        labels = list[int]()

        def convert(places: range) -> Tensor:
            items = [dataset[place] for place in places]
            labels.extend(label for _, label in items)
            return torch.stack([pixels for pixels, _ in items]).permute(0, 3, 1, 2)

        what = "Decoding a sample of training images" if train else "Decoding held-out images"
        with self.readable(), own_limit():
            dataset = self.dataset(train, Decoded(decoding))
            if count:
                dataset[0]
                dataset.on_demand_bytes = False  # whole chunks, not a request for each image
            images = fill(range(count), convert, decoding.channels, decoding.size, what)
        return images, torch.tensor(labels, dtype=torch.int64)

    @contextmanager
    def readable(self) -> Iterator[None]:
        """Turn all errors within into one line about the shards: workers wrap those of any type.

        Raises:
            UserError: there was one.
        """
        try:
            yield
        except UserError:
            raise
        except Exception as error:
            lines = [type(error).__name__, *str(error).strip().splitlines()]
            raise UserError(
                f"`root`: shards of {self.root} can't be read ({lines[-1]}): look whether they are"
                " all there, and copy or make them again."
            ) from error

    def _about(self) -> str:
        """What `classes.json` holds."""
        if not self.remote:
            file = Path(self.root, ABOUT)
            if not file.is_file():
                raise MissingError(
                    f"`root` is {self.root!r}, but there is no {file.absolute()}: give a folder or"
                    " a URL that `cli.py prepare --shards` filled."
                )
            return file.read_text()
        from litdata.streaming.downloader import get_downloader

        try:
            self.cache.mkdir(parents=True, exist_ok=True)
            folder = tempfile.TemporaryDirectory(dir=self.cache)
        except OSError as error:
            raise UserError(
                f"`cache` is {str(self.cache)!r}, which can't be written ({error.strerror}): give a"
                " folder on a disk of this machine."
            ) from error
        with folder:
            copy = Path(folder.name, ABOUT)
            url = f"{self.root.rstrip('/')}/{ABOUT}"
            get_downloader(self.root, folder.name, [], {}).download_file(url, str(copy))
            return copy.read_text()

    def _check(self, train: bool, folder: Path) -> None:
        """Refuse an index that lies; of local chunks, each one's head is read.

        Raises:
            UserError: it counts other images, holds what isn't ours, or a chunk is damaged.
        """
        index, count = json.loads((folder / INDEX).read_text()), sum(self.counts[train])
        chunks, place = index["chunks"], f"{self.root}/{SPLITS[train]}"
        # Among litdata's formats is Python's pickle, which runs what a stranger wrote.
        ours = index["config"]["data_format"] == FORMAT
        if not ours or any(chunk["filename"] != Path(chunk["filename"]).name for chunk in chunks):
            raise UserError(f"`root`: {place} holds no shards of `cli.py prepare --shards`.")
        said = sum(chunk["chunk_size"] for chunk in chunks)
        if said != count:
            raise UserError(
                f"`root`: {place}/{INDEX} counts {said:,} images, and {ABOUT} {count:,}: copy both"
                " again."
            )
        for chunk in () if self.remote else chunks:
            file = folder / chunk["filename"]
            with file.open("rb") as opened:
                held = int.from_bytes(opened.read(4), "little")
            size, whole = file.stat().st_size, chunk["chunk_bytes"]
            if size != whole or held != chunk["chunk_size"]:
                raise UserError(
                    f"`root`: {file} has {size:,} bytes and {held:,} images, but its index says"
                    f" {whole:,} and {chunk['chunk_size']:,}: it is damaged or was copied in part;"
                    " copy it again."
                )


class Decoded:
    """An item's image decoded, as bytes `[H, W, C]`, with its class; workers get a copy.

    Args:
        decoding: what images become.
    """

    def __init__(self, decoding: Decoding) -> None:
        self.decoding = decoding

    def __call__(self, item: Item) -> tuple[Tensor, int]:
        """Decode one.

        Raises:
            UnreadableError: it can't be read.
        """
        image, label = item
        return torch.from_numpy(self.decoding(bytes(image)).copy()), label
