"""A run's TensorBoard logger: its files keep their order, and a full disk is reported."""

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from lightning.pytorch.core.saving import save_hparams_to_yaml
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from minmax.errors import UserError, passes_through
from minmax.files import RUNS_REMEDY, whole
from minmax.scalars import start_of


class Events(TensorBoardLogger):
    """A run's logger; each file's name says which start of the run has written it.

    Args:
        folder: of the run.
        purge_step: images seen from which a resumed run replaces what was logged.
    """

    def __init__(self, folder: Path, purge_step: int | None) -> None:
        start = 1 + max((start_of(file) for file in folder.glob("*tfevents*")), default=0)
        super().__init__(
            folder,
            name="",
            version="",
            default_hp_metric=False,
            purge_step=purge_step,
            filename_suffix=f".start{start}",
        )

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log values; raise Lightning's error about a full disk as the OSError that it is."""
        try:
            super().log_metrics(metrics, step)
        except ValueError as error:
            if isinstance(error.__cause__, OSError):
                raise error.__cause__ from None
            raise

    @rank_zero_only
    def save(self) -> None:
        """Write the hyperparameters whole."""
        file = Path(self.log_dir) / self.NAME_HPARAMS_FILE
        if file.parent.is_dir() and not file.is_file():
            with whole(file) as part:
                save_hparams_to_yaml(str(part), self.hparams)

    def finalize(self, status: str) -> None:
        """Write what is left; the error that ended the run is not hidden by a failure here."""
        with suppress(*([] if status == "success" else [OSError])):
            super().finalize(status)


@contextmanager
def written_in(folder: Path) -> Iterator[None]:
    """Name the run's folder when its events can't be written.

    Raises:
        UserError: the disk is full or fails.
    """
    hook = threading.excepthook

    def said_once(arguments: threading.ExceptHookArgs) -> None:
        writer = type(arguments.thread).__module__.startswith("tensorboard")
        if not (writer and isinstance(arguments.exc_value, OSError)):
            hook(arguments)

    threading.excepthook = said_once
    try:
        yield
    except OSError as error:
        if not passes_through(error, ("tensorboard",)):
            raise
        remedy = RUNS_REMEDY
        if isinstance(error, FileNotFoundError):
            remedy = (
                f"{folder} was moved or removed while the training ran: put it back and go on with "
                "--resume true, or train anew"
            )
        raise UserError(
            f"{folder}/events.out.tfevents* can't be written ({error.strerror}). {remedy}"
        ) from error
    finally:
        threading.excepthook = hook


def date_back(folder: Path) -> None:
    """Rename event files dated in the future, since TensorBoard reads files in order of name.

    After a clock was set back, it would read a resumed run's values before those that they replace.
    """
    limit = int(time.time())
    for file in sorted(folder.glob("events.out.tfevents.*"), reverse=True):
        _, dated, rest = file.name.partition(".tfevents.")
        second, dot, rest = rest.partition(".")
        if second.isdigit():
            limit = min(int(second), limit - 1)
            if limit < int(second):
                os.replace(file, file.with_name(f"events.out{dated}{limit:010d}{dot}{rest}"))
