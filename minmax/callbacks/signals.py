"""Saves and ends a run on a signal."""

import os
import signal
import subprocess
import threading
from types import FrameType

import torch
from lightning import LightningModule, Trainer
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.utilities import rank_zero_warn

from gan_modules import GANModule
from gan_modules.base import Batch
from minmax.callbacks.hooks import GANCallback
from minmax.callbacks.last_checkpoint import saver_of
from minmax.lightning_inside import ask_no_rank_for_sigterm

ASKED_EVERY = 8
"""Batches from one exchange of signals between ranks to the next; each costs a synchronisation."""


class Signals(GANCallback):
    """Save `last.ckpt` after the batch on SIGTERM, SIGUSR1 or Ctrl+C, then end the run.

    The exit code is 128 plus the signal's number; 0 of the processes that Lightning has started,
    since it would kill the first one for another. Under SLURM, SIGUSR1 (which `#SBATCH
    --signal=SIGUSR1@90` sends before the time is up) also requeues the job. A second Ctrl+C
    ends the run at once. A signal during a validation takes effect after it.

    This replaces Lightning's own handlers, which save inside a batch and differ by rank.

    Attributes:
        received: the newest signal to this process; 0 is none.
        agreed: the one that all ranks know of, at the same batch.
    """

    def __init__(self) -> None:
        self.received = self.agreed = 0
        self._saved = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Install the handlers; Lightning's teardown restores the previous ones."""
        # A SIGTERM came while the data were read.
        self.received = signal.SIGTERM if trainer.received_sigterm else 0
        self.agreed, self._saved = 0, False
        ask_no_rank_for_sigterm(trainer)
        if threading.current_thread() is not threading.main_thread():
            rank_zero_warn(
                "This training doesn't run in the main thread, the only one that receives signals: "
                "Ctrl+C and SIGTERM will not save it"
            )
            return

        def handle(number: int, frame: FrameType | None) -> None:
            if number == signal.SIGINT and self.received:
                raise KeyboardInterrupt
            self.received = number
            launcher = trainer.strategy.launcher
            if launcher is not None and number != signal.SIGINT:
                launcher.kill(number)  # a terminal already sends Ctrl+C to all processes

        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
            signal.signal(number, handle)

    def after_batch(self, trainer: Trainer, module: GANModule, batch: Batch) -> None:
        """After a signal, request a save, which comes before the next batch."""
        if trainer.world_size > 1:
            if trainer.global_step % ASKED_EVERY:
                return
            # A signal that comes meanwhile is exchanged the next time.
            received = torch.tensor(self.received, device=module.device)
            self.agreed = int(trainer.strategy.reduce(received, reduce_op="max"))
        else:
            self.agreed = self.received
        if self.agreed and not self._saved:
            self._saved = True
            if (saver := saver_of(trainer)) is not None:
                saver.save_soon(trainer)

    def before_batch(self, trainer: Trainer, module: GANModule, batch: Batch) -> None:
        """End the run once its state is saved."""
        if not self._saved:
            return
        job = job_to_requeue() if self.agreed == signal.SIGUSR1 else None
        if trainer.is_global_zero:
            name = signal.Signals(self.agreed).name
            print(f"\nStopped by {name} after {module.images_seen:,} images. ", end="")
            print("The same command with --resume true goes on.", flush=True)
            if job is not None:
                requeue(job)
        raise SystemExit(0 if watched_by_lightning(trainer) else 128 + self.agreed)


def watched_by_lightning(trainer: Trainer) -> bool:
    """Whether Lightning started this process, and kills the first one if it ends with a code."""
    environment = getattr(trainer.strategy, "cluster_environment", None)
    return isinstance(environment, LightningEnvironment) and trainer.local_rank > 0


def job_to_requeue() -> str | None:
    """This SLURM job's id for `scontrol`; None outside of SLURM."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def requeue(job: str) -> None:
    """Have SLURM run the job again, from its first line."""
    try:
        subprocess.run(["scontrol", "requeue", job], check=True, timeout=60)
        print(f"SLURM job {job} is requeued.", flush=True)
    except (OSError, subprocess.SubprocessError) as error:
        print(f"SLURM job {job} could not be requeued ({error}): submit it again.", flush=True)
