"""Lightning's private names that the project uses, since no public one does the same.

All of them are here and in `gan_modules/bookkeeping/position.py`, except that subclasses of
Lightning's classes override some private methods and one attribute. Tried with Lightning 2.6.
`tests/test_lightning_inside.py` fails when one is gone, or is no longer needed.
"""

from lightning import Trainer
from lightning.pytorch.strategies import DDPStrategy, Strategy
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher


def validation_follows(trainer: Trainer) -> bool:
    """Whether a validation follows the batch that was just trained.

    A run resumed from a checkpoint of that moment would skip the validation.
    """
    fetcher = trainer.fit_loop._data_fetcher
    assert fetcher is not None, "there is one while an epoch runs"
    return trainer.fit_loop.epoch_loop._should_check_val_fx(fetcher)


def epoch_is_over(trainer: Trainer) -> bool:
    """Whether the batch that was just trained is the last of its epoch."""
    return trainer.fit_loop.epoch_loop._num_ready_batches_reached()


def ask_no_rank_for_sigterm(trainer: Trainer) -> None:
    """Turn off Lightning's exchange of SIGTERM between the ranks before each batch.

    Lightning reads the answer on the host, which makes a GPU finish all its work first.
    `Signals` asks every few batches instead. No effect with one process.
    """
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]


def count_steps(trainer: Trainer, number: int) -> None:
    """Raise the count of optimizer steps, `trainer.global_step`, as these would have raised it."""
    steps = trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
    for counts in (steps.total, steps.current):
        counts.ready += number
        counts.completed += number


def trains_in_copies(strategy: Strategy) -> bool:
    """Whether the training runs in copies of this process, and not in this one."""
    return isinstance(strategy.launcher, _MultiProcessingLauncher)


def waits_for_all_gradients(strategy: Strategy) -> bool:
    """Whether it is Lightning's DDP, which hangs if a weight gets no gradient."""
    if type(strategy) is not DDPStrategy:
        return False
    return not strategy._ddp_kwargs.get("find_unused_parameters")
