"""Which callbacks request a save, when it comes, and what it holds, in any order of callbacks."""

from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, Trainer

from gan_modules import GANModule
from gan_modules.base import Batch
from minmax.callbacks import BestCheckpoint, Finite, GANCallback, LastCheckpoint
from minmax.callbacks.last_checkpoint import saver_of
from tests.callbacks.test_interruptions import Chain
from tests.gan_modules.helpers import TinyImages, fit, make_model

pytestmark = pytest.mark.filterwarnings("ignore")


class Asking(GANCallback):
    """Requests a save after the second batch."""

    def after_batch(self, trainer: Trainer, module: GANModule, batch: Batch) -> None:
        if trainer.global_step == 2:
            saver = saver_of(trainer)
            assert saver is not None
            saver.save_soon(trainer)


class Counting(GANCallback):
    """Counts batches, and calls of `before_save`."""

    def __init__(self) -> None:
        self.counts = {"before": 0, "after": 0, "told": 0}

    def before_batch(self, trainer: Trainer, module: GANModule, batch: Batch) -> None:
        self.counts["before"] += 1

    def after_batch(self, trainer: Trainer, module: GANModule, batch: Batch) -> None:
        assert isinstance(module, GANModule)
        assert batch[0].shape[1:] == (1, 4, 4)
        self.counts["after"] += 1

    def before_save(self, trainer: Trainer, module: GANModule) -> None:
        self.counts["told"] += 1

    def state_dict(self) -> dict[str, Any]:
        return dict(self.counts)


def train(folder: Path, callbacks: list[Callback], steps: int = 3) -> Trainer:
    limits = {"max_epochs": -1, "max_steps": steps, "default_root_dir": folder}
    return fit(make_model(), TinyImages(), callbacks, enable_checkpointing=True, **limits)


@pytest.mark.parametrize("order", permutations(range(4)))
def test_a_save_holds_what_all_callbacks_have_seen(tmp_path: Path, order: tuple[int, ...]) -> None:
    """Also the callbacks after the one that requests it."""

    class Kept(LastCheckpoint):
        def _write(self, trainer: Trainer) -> None:
            super()._write(trainer)
            states.append(torch.load(self.file, weights_only=True))

    states: list[dict[str, Any]] = []
    every = [Asking(), Counting(), Kept(every_n_epochs=100), Finite()]
    train(tmp_path, [every[number] for number in order])
    assert [state["global_step"] for state in states] == [2, 3]
    told = [state["callbacks"]["Counting"] for state in states]
    assert told[0] == {"before": 2, "after": 2, "told": 1}
    assert told[1] == {"before": 3, "after": 3, "told": 2}


def test_nothing_is_saved_where_nobody_saves(tmp_path: Path) -> None:
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    assert saver_of(trainer) is None


class Scoring(GANCallback):
    """Names the score that chooses the best checkpoint."""

    @property
    def score_name(self) -> str:
        return "loss/generator"


def test_the_best_is_chosen_by_the_score_of_whichever_callback_makes_one(tmp_path: Path) -> None:
    best = BestCheckpoint()
    train(tmp_path, [best, Counting(), Scoring()], steps=1)
    assert best.monitor == "loss/generator"
    with pytest.raises(ValueError, match=r"`BestCheckpoint\.monitor` is needed"):
        train(tmp_path, [BestCheckpoint(), Counting()], steps=1)


def test_a_score_that_is_not_logged_costs_no_training(tmp_path: Path) -> None:
    best = BestCheckpoint("metric/nothing", "max")
    limits = {"max_epochs": 2, "limit_val_batches": 1.0, "default_root_dir": tmp_path}
    with pytest.warns(UserWarning, match=r"metric/nothing was not logged, so no best\.ckpt"):
        fit(
            make_model(),
            TinyImages(),
            [best, LastCheckpoint()],
            enable_checkpointing=True,
            **limits,
        )
    assert [file.name for file in (tmp_path / "checkpoints").iterdir()] == ["last.ckpt"]


class OfDomain(Scoring):
    """Scores by the domain's features."""

    @property
    def score_name(self) -> str:
        return "metric/fid_domain"


@pytest.mark.parametrize("name", ["metric/precision", "metric/precision_pixels"])
def test_a_score_of_other_features_is_refused_at_once(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is metric/precision_domain in this run"):
        train(tmp_path, [BestCheckpoint(name), OfDomain()], steps=1)
    train(tmp_path, [BestCheckpoint("metric/precision_domain"), OfDomain()], steps=1)


class Ends(Callback):
    """Counts the ends of validations and of epochs, in its state."""

    def __init__(self) -> None:
        self.counts = {"validations": 0, "epochs": 0}

    def on_validation_end(self, *_: Any) -> None:
        self.counts["validations"] += 1

    def on_train_epoch_end(self, *_: Any) -> None:
        self.counts["epochs"] += 1

    def state_dict(self) -> dict[str, Any]:
        return dict(self.counts)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.counts = dict(state_dict)


@pytest.mark.parametrize(
    ("function", "batch", "counted"), [("validation_follows", 2, 6), ("epoch_is_over", 4, 3)]
)
@pytest.mark.parametrize("used", [True, False])
def test_a_save_waits_for_what_its_batch_brings(
    function: str, batch: int, counted: int, used: bool, tmp_path: Path, monkeypatch: Any
) -> None:
    """An earlier save must miss a count, else `minmax/lightning_inside.py` is no longer needed."""
    within = function == "validation_follows"
    options = {"val_check_interval": 2} if within else {"limit_val_batches": 0}
    for interrupted_after in (batch, 0):
        ends = Ends()
        chain = Chain(tmp_path, ends, **options)
        with monkeypatch.context() as patch:
            if not used:
                place = f"minmax.callbacks.last_checkpoint.{function}"
                patch.setattr(place, lambda trainer: False)
            chain.part(interrupted_after)
    assert ends.counts["validations" if within else "epochs"] == counted - (not used)
