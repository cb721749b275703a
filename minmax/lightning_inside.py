"""Names of Lightning's that it keeps to itself, where no public one does the same.

All that the project reaches into stands here and in `gan_modules/bookkeeping/position.py`; classes
that are derived from Lightning's override some of its methods besides. Tried with Lightning 2.6.
`tests/test_lightning_inside.py` notices when one is gone, or is no longer needed.
"""

from lightning import Trainer
from lightning.pytorch.strategies import DDPStrategy, Strategy
from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher


def validation_follows(trainer: Trainer) -> bool:
    """Whether a validation will follow the batch that was just trained.

    A checkpoint of that moment would be gone on with behind the validation, without it.
    """
    fetcher = trainer.fit_loop._data_fetcher
    assert fetcher is not None, "there is one while an epoch runs"
    return trainer.fit_loop.epoch_loop._should_check_val_fx(fetcher)


def epoch_is_over(trainer: Trainer) -> bool:
    """Whether the batch that was just trained is the last of its epoch."""
    return trainer.fit_loop.epoch_loop._num_ready_batches_reached()


def ask_no_rank_for_sigterm(trainer: Trainer) -> None:
    """Spare the ranks to ask each other before each batch whether one was told to end.

    Lightning reads the answer on the host, for which a GPU has to finish all that it was given.
    `Signals` asks every few batches instead. Of no effect where one process trains.
    """
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]


def trains_in_copies(strategy: Strategy) -> bool:
    """Whether the training runs in processes that are copies of this one, and not here."""
    return isinstance(strategy.launcher, _MultiProcessingLauncher)


def waits_for_all_gradients(strategy: Strategy) -> bool:
    """Whether it is Lightning's own DDP, which hangs where a weight has no gradient."""
    if type(strategy) is not DDPStrategy:
        return False
    return not strategy._ddp_kwargs.get("find_unused_parameters")
