"""What the data modules over torchvision's own data sets share: finding and downloading."""

import tempfile
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from datamodules.base import ImageDataModule
from datamodules.classes import Class
from minmax.errors import MissingError, UnreachableError, files_named, passes_through
from minmax.lock import locked


class TorchvisionDataModule(ImageDataModule):
    """A data set of torchvision: found or downloaded, with one kind of error for each step.

    Args:
        root: the folder that holds torchvision's folder of this data set.
        image_size: height and width in pixels.
        grayscale: one channel instead of three.
        batch_size: images per batch and per process (GPU).
        classes: names or numbers of the classes to use; None means all.
        download: download what is missing; otherwise nothing is ever downloaded.
        on_device: keep the images in GPU memory if there is room for them twice.
        mirror: flip half of the training images left to right, others in each epoch.
    """

    names: ClassVar[Sequence[str]]
    layout: ClassVar[str]  # what must lie in root, for the error message

    def __init__(
        self,
        root: str = "data",
        image_size: int = 32,
        grayscale: bool = False,
        batch_size: int = 64,
        classes: list[Class] | None = None,
        download: bool = False,
        on_device: bool = True,
        mirror: bool = False,
    ) -> None:
        super().__init__(self.names, image_size, grayscale, batch_size, classes, on_device, mirror)
        self.root = root
        self.download = download

    @abstractmethod
    def open(self, root: str, train: bool, download: bool) -> Any:
        """Return torchvision's data set object for one split."""

    @abstractmethod
    def extract(self, dataset: Any) -> tuple[Tensor, Tensor]:
        """Return all images uint8 `[N, C, H, W]` and labels int64 `[N]` of such an object."""

    def prepare_data(self) -> None:
        """Download the data set if it is missing and `download` is true.

        Lightning calls this in one process per machine. It waits for other processes that
        download into the same folder.

        Raises:
            UnreachableError: the data set can't be downloaded.
        """
        if not self.download or self._is_complete():
            return
        root = Path(self._root())
        with ExitStack() as held:
            with files_named():
                held.enter_context(locked(root / ".download.lock", wait=True))
            if not self._is_complete():  # else another process did it
                self._fetch(root)

    def load(self, train: bool) -> tuple[Tensor, Tensor]:
        """Read one split.

        Raises:
            MissingError: the data set is missing or damaged.
        """
        return self.extract(self.dataset(train))

    def dataset(self, train: bool) -> Any:
        """Return torchvision's data set object for one split.

        Raises:
            MissingError: the data set is missing or damaged.
        """
        try:
            return self.open(self._root(), train, download=False)
        except Exception as error:  # each parser has its own type for damaged files
            if not passes_through(error, ("torchvision",)):
                raise
            raise MissingError(
                f"{type(self).__name__} was not found, or is damaged, in `root`"
                f" {self.root!r} (searched {Path(self._root()).absolute()}): set"
                " `download` true to fetch it, or give as root a folder that holds"
                f" {self.layout}."
            ) from error

    def _fetch(self, root: Path) -> None:
        # torchvision takes some half-written files for complete ones. So files are written
        # elsewhere and moved into place when all are there.
        with ExitStack() as made:
            with files_named():
                place = tempfile.TemporaryDirectory(dir=root, prefix=".download-")
                folder = made.enter_context(place)
            try:
                for train in (True, False):
                    self.open(folder, train, download=True)
            except (OSError, RuntimeError, EOFError, ImportError) as error:
                if not passes_through(error, ("torchvision",)):
                    raise
                raise UnreachableError(
                    f"{type(self).__name__} could not be downloaded ({_first_line(error)}): connect"
                    " to the internet and run again, or set `root` (now"
                    f" {self.root!r}) to a folder that holds {self.layout}."
                ) from error
            for source in list(Path(folder).iterdir()):
                target = root / source.name
                if target.is_dir():  # damaged; removed with the folder
                    target.replace(Path(folder) / f"{source.name}.before")
                source.replace(target)

    def _root(self) -> str:
        return str(Path(self.root).expanduser())

    def _is_complete(self) -> bool:
        try:
            for train in (True, False):
                self.open(self._root(), train, download=False)
        except Exception:  # as in `load`
            return False
        return True


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip()}".splitlines()[0]
