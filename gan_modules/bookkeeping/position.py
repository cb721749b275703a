"""Where in its epochs a training stands, so that Lightning goes on exactly there.

Lightning (2.6) keeps counters of what was begun and what was done, and guesses from them, when a
checkpoint is loaded, at which hook it was saved. Saved with an epoch's last batch, or where
`max_steps` or `max_time` cut an epoch short, it guesses wrong: batches are trained twice, or left
out. Two forms of the counters are gone on with rightly, within an epoch and between two, and a
position has one of them: `tests/callbacks/test_interruptions.py` notices when that changes.
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
        epochs: that are whole.
        batches: trained in all.
        of_epoch: those of the epoch that is not whole; 0 between two epochs.
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
    """Bring a checkpoint's counters into the form that its position is gone on from with."""
    at = position_of(fit_loop)
    within = int(at.of_epoch > 0)  # an epoch that is begun, and a batch whose end is to be done
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
    """Begin an epoch like any other, if that is what a checkpoint goes on with.

    Lightning would take the counters of the epoch before for those of this one.
    """
    loop = trainer.fit_loop
    if loop.restarting and not loop.restarted_mid_epoch:
        # Past FitLoop's own setter, by which a training with `max_steps` always restarts.
        _Loop.restarting.fset(loop, False)  # type: ignore[attr-defined]


def _counter(begun: int, processed: int, completed: int) -> dict[str, int]:
    return {"ready": begun, "started": begun, "processed": processed, "completed": completed}


def _counters(begun: int, processed: int, completed: int) -> Counters:
    return {kind: _counter(begun, processed, completed) for kind in ("total", "current")}
