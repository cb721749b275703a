"""What `test` does: score checkpoints, and save the scores in their runs."""

import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from lightning import Trainer

from minmax import callbacks
from minmax.checkpoints.reading import read_checkpoint
from minmax.errors import UserError
from minmax.metrics.cache import fingerprint
from minmax.reporting.metrics_file import write_report
from minmax.reporting.tables import score_table
from minmax.run_config import run_folder
from minmax.training.resuming import Held


def test(checkpoints: Collection[Held], trainer: Trainer, **given: Any) -> None:
    """Score checkpoints, print the scores, and write them into the runs' folders.

    Args:
        checkpoints: to be scored; of two with the same weights, only one is scored.
        trainer: with the `Quality` callback.
        given: arguments of the trainer's `test`.

    Raises:
        UserError: a run's folder can't be written.
    """
    every = trainer.callbacks  # type: ignore[attr-defined]
    quality = next(callback for callback in every if isinstance(callback, callbacks.Quality))
    scored: dict[str, dict[str, Any]] = {}
    for held in checkpoints:
        path = Path(held.path)
        if not os.access(run_folder(path), os.W_OK):
            raise UserError(
                f"{run_folder(path)} can't be written, so metrics.json can't be saved: copy the "
                "run, and give the copy's --ckpt_path"
            )
        weights = fingerprint(*read_checkpoint(path)["state_dict"].values())
        if weights not in scored:  # a run's last checkpoint may also be its best
            trainer.test(**(given | {"ckpt_path": str(path), "verbose": False}))
            scored[weights] = quality.report
        if report := scored[weights]:
            report = report | {"protocol": report["protocol"] | {"checkpoint": str(path)}}
            seen = report["protocol"]["images_seen"]  # a training may save meanwhile
            print(f"\n{path}, after {seen:,} images:\n\n{score_table(report)}\n")
            file = write_report(path, report)
            pairs = file.parent / "pictures" / f"nearest_{path.stem}.png"
            shown = quality.save_neighbours(pairs)
            print(f"Scores: {file}" + f"  Nearest: {pairs}" * shown)
