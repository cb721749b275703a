"""Where in its epochs a training stands, so that Lightning resumes exactly there.

Lightning (2.6) counts what was begun and what was done. From these counters it guesses at which
hook a checkpoint was saved. It guesses wrong after the last batch of an epoch, and where
`max_steps` or `max_time` cut an epoch short: batches are then trained twice or left out. It resumes
correctly from two forms of the counters, one within an epoch and one between two epochs. `settle`
writes one of these; `tests/callbacks/test_interruptions.py` notices when Lightning changes.
"""

from dataclasses import dataclass
from typing import Any

from lightning import Trainer
from lightning.pytorch.loops.loop import _Loop

Counters = dict[str, dict[str, int]]


@dataclass(frozen=True)
class Position:
    """How far a training has come.

    Attributes:
        epochs: number of whole epochs.
        batches: number of batches trained in all.
        of_epoch: batches trained in the unfinished epoch; 0 between two epochs.
    """

    epochs: int
    batches: int
    of_epoch: int


def position_of(fit_loop: dict[str, Any]) -> Position:
    """Read a checkpoint's counters (`["loops"]["fit_loop"]`), at whichever hook it was saved."""
    batch = fit_loop["epoch_loop.batch_progress"]
    begun, of_epoch = fit_loop["epoch_progress"]["total"]["started"], batch["current"]["ready"]
    if batch["is_last_batch"] or of_epoch == 0:
        return Position(begun, batch["total"]["ready"], 0)
    return Position(begun - 1, batch["total"]["ready"], of_epoch)


def settle(fit_loop: dict[str, Any]) -> None:
    """Rewrite a checkpoint's counters so that Lightning resumes at their position."""
    at = position_of(fit_loop)
    within = int(at.of_epoch > 0)  # an epoch that has begun, and a batch that has to end
    fit_loop["epoch_progress"] = _counters(at.epochs + within, at.epochs, at.epochs)
    fit_loop["epoch_loop.batch_progress"] = {
        "total": _counter(at.batches, at.batches, at.batches - within),
        "current": _counter(at.of_epoch, at.of_epoch, at.of_epoch - within),
        "is_last_batch": False,
    }
    fit_loop["epoch_loop.state_dict"]["_batches_that_stepped"] = at.batches - within
    nothing = _counters(0, 0, 0) | {"is_last_batch": False}
    fit_loop["epoch_loop.val_loop.batch_progress"] = nothing


def begin_epoch(trainer: Trainer) -> None:
    """After a resume between two epochs, begin the next one like any other.

    Lightning would take the counters of the last epoch for those of this one.
    """
    loop = trainer.fit_loop
    if loop.restarting and not loop.restarted_mid_epoch:
        # Not by FitLoop's own setter, which always restarts a training with `max_steps`.
        _Loop.restarting.fset(loop, False)  # type: ignore[attr-defined]


def _counter(begun: int, processed: int, completed: int) -> dict[str, int]:
    return {"ready": begun, "started": begun, "processed": processed, "completed": completed}


def _counters(begun: int, processed: int, completed: int) -> Counters:
    return {kind: _counter(begun, processed, completed) for kind in ("total", "current")}
