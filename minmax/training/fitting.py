"""What `fit` does: a training in the folder of its run."""

from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from lightning import Trainer
from lightning.pytorch.loggers import TensorBoardLogger

from minmax import callbacks, events, lock
from minmax.callbacks.compiled import compiling_explained
from minmax.errors import UserError
from minmax.files import discard
from minmax.run_config import RUN_FILES, holds_run
from minmax.training.asked import Asked
from minmax.training.choosing import saves
from minmax.training.launching import ranks_end_together
from minmax.training.resuming import Held, is_finished
from minmax.training.sizes import headline


@contextmanager
def alone_in(folder: Path, before: dict[str, int]) -> Iterator[None]:
    """Hold the run's lock.

    Args:
        folder: of the run.
        before: what `saves` returned when the command chose its checkpoint.

    Raises:
        UserError: another process works there or has saved since then, or the folder can't be
            written.
    """
    with ExitStack() as held:
        try:
            held.enter_context(lock.locked(folder / lock.NAME))
        except OSError as error:
            raise UserError(
                f"--trainer.default_root_dir {folder} can't be written ({error.strerror}): choose "
                "another"
            ) from error
        if saves(folder) != before:
            raise UserError(
                f"{folder} was trained by another process while this one started: give the "
                "command again"
            )
        yield


def fit(asked: Asked, checkpoints: Collection[Held], trainer: Trainer, **given: Any) -> None:
    """Train in the run's folder; if that was nothing, remove the new files.

    Nothing are no batches, or some that were refused before any was logged.

    Args:
        asked: what the user asks for.
        checkpoints: the one that the training resumes, or none.
        trainer: of the run.
        given: arguments of the trainer's `fit`.

    Raises:
        UserError: the folder holds a run that isn't resumed, or there is nothing to train.
    """
    folder = asked.folder
    if holds_run(folder) and not asked.goes_on:
        raise UserError(
            f"{folder} already holds a run. Choose another --trainer.default_root_dir, resume "
            "the run with --resume true, or delete it"
        )
    if any(is_finished(held, trainer, asked.goes_on) for held in checkpoints):
        return
    make(folder)
    batches_before = max((held.batches for held in checkpoints), default=0)
    if trainer.is_global_zero:
        events.date_back(folder)  # which may rename what is there
        say_what_begins(folder, checkpoints, trainer, given["model"])
    before, saved, kept_after = set(folder.iterdir()), saves(folder), batches_before
    try:
        explained = compiling_explained(trainer.callbacks)  # type: ignore[attr-defined]
        with ranks_end_together(trainer), events.written_in(folder), explained:
            Trainer.fit(trainer, **given)  # a subclass's `fit` calls this function
    except UserError:
        if saves(folder) == saved:  # before the first log nothing is lost
            kept_after += max(0, trainer.log_every_n_steps - 1)  # type: ignore[attr-defined]
        raise
    finally:
        trained = trainer.global_step > kept_after
        if trainer.is_global_zero and trained and not asked.is_trial:
            say_where(folder, trainer)
        elif trainer.is_global_zero:
            remove_new(folder, before)
    if not trained:
        raise UserError(
            "nothing was trained: --trainer.max_epochs, max_steps, limit_train_batches or "
            "max_time (counted over all starts of a run) leaves nothing to do"
        )
    if asked.is_trial and trainer.is_global_zero:
        print("The trial went well; nothing of it is kept.")


def make(folder: Path) -> None:
    """Make the run's folder, if it isn't there.

    Raises:
        UserError: it can't be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"--trainer.default_root_dir {folder} can't be made ({error.strerror}): choose another"
        ) from error


def remove_new(folder: Path, before: Collection[Path]) -> None:
    """Remove the files of a training that trained nothing.

    Args:
        folder: of the run; it is removed too if it is then empty.
        before: the files that were in it before.
    """
    files = [*map(folder.joinpath, RUN_FILES), *folder.glob("events.out.tfevents*")]
    for new in set(files) - set(before):
        discard(new)
    if not any(folder.iterdir()):
        folder.rmdir()


def say_what_begins(
    folder: Path, checkpoints: Collection[Held], trainer: Trainer, model: Any
) -> None:
    """Print the networks, the checkpoint that is resumed, and how to watch the training."""
    print(headline(model))
    if trainer.precision == "bf16-mixed":
        print("Trains in bf16-mixed; --trainer.precision 32-true trains in float32")
    for held in checkpoints:
        print(f"Goes on from {held.path}, after {held.images_seen:,} images")
    if isinstance(trainer.logger, TensorBoardLogger):
        print(f"Watch it: tensorboard --logdir {folder} --samples_per_plugin images=100")


def say_where(folder: Path, trainer: Trainer) -> None:
    """Print where the results of a training are."""
    scored, last = "none", folder / "checkpoints" / "last.ckpt"
    for best in trainer.checkpoint_callbacks:
        if isinstance(best, callbacks.BestCheckpoint) and best.best_model_score is not None:
            score = f"{best.monitor} {best.best_model_score:.4g}"
            scored = f"{folder}/checkpoints/best.ckpt ({score})"
    print(
        f"Run: {folder}  Last checkpoint: {last if last.is_file() else 'none'}  "
        f"Best checkpoint: {scored}  Pictures: {folder}/pictures"
    )
