"""A training gives the same results when it is stopped and resumed, anywhere and several times."""

from collections.abc import Callable
from contextlib import suppress
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer

from gan_modules import GANModule
from minmax.callbacks import Finite, LastCheckpoint, WholeCheckpoints
from tests.gan_modules.helpers import RecordingLogger, TinyImages, equal, make_model

pytestmark = pytest.mark.filterwarnings("ignore")

BATCHES = 12
"""Three epochs of four."""


class Stopped(Exception):  # noqa: N818  (nothing went wrong)
    """Ends a training in these tests, as a signal does."""


class Interruption(Callback):
    """Requests a save after a batch, and ends the training before the next one.

    Args:
        batch: number of the batch, from 1; 0: never.
    """

    def __init__(self, batch: int) -> None:
        self.batch = batch
        self.asked = False

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step == self.batch:
            self.asked = True
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                if isinstance(callback, LastCheckpoint):
                    callback.save_soon(trainer)

    def on_train_batch_start(self, *_: Any) -> None:
        if self.asked:
            raise Stopped


class Validations(Callback):
    """Notes the images seen at each validation."""

    def __init__(self) -> None:
        self.images: list[int] = []

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, GANModule)
        self.images.append(pl_module.images_seen)


class Chain:
    """One training, interrupted several times."""

    def __init__(self, folder: Path, *callbacks: Callback, **options: Any) -> None:
        self.folder, self.callbacks = folder, callbacks
        self.options = {"max_epochs": 3, "check_val_every_n_epoch": 1} | options
        self.validations, self.logger = Validations(), RecordingLogger()

    def part(self, interrupted_after: int = 0, saves: int | None = None, **options: Any) -> None:
        """Begin, or go on from the last checkpoint, until the end or an interruption."""
        trainer = Trainer(
            accelerator="cpu",
            logger=self.logger,
            log_every_n_steps=2,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            default_root_dir=self.folder,
            plugins=[WholeCheckpoints()],
            callbacks=[
                Finite(),
                Interruption(interrupted_after),
                self.validations,
                *self.callbacks,
                LastCheckpoint(every_n_epochs=100, every_images=saves),
            ],
            **(self.options | options),
        )
        last = self.folder / "checkpoints" / "last.ckpt"
        path = str(last) if last.is_file() else None
        try:
            trainer.fit(
                make_model(ema_half_life_images=30),
                datamodule=TinyImages(),
                ckpt_path=path,
                weights_only=False if path else None,
            )
        except Stopped:
            assert trainer.global_step == interrupted_after

    def end(self) -> tuple[Any, ...]:
        """Everything that must not depend on the interruptions."""
        last = torch.load(self.folder / "checkpoints" / "last.ckpt", weights_only=False)
        states = {
            f"{index}.{number}.{name}": value
            for index, optimizer in enumerate(last["optimizer_states"])
            for number, values in optimizer["state"].items()
            for name, value in values.items()
        }
        records = [
            (images, {name: value for name, value in values.items() if "time/" not in name})
            for images, values in self.logger.records
        ]
        assert records
        return last["state_dict"] | states, last["images_seen"], self.validations.images, records


VALIDATED = {
    "after epochs": {},
    "within epochs": {"val_check_interval": 2},
    "across epochs": {"check_val_every_n_epoch": None, "val_check_interval": 3},
    "never": {"limit_val_batches": 0},
    "after epochs, of which there are any number": {"max_epochs": -1, "max_steps": BATCHES},
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Chain]:
    """The training that was never interrupted."""
    made: dict[str, Chain] = {}

    def of(validated: str) -> Chain:
        if validated not in made:
            made[validated] = Chain(tmp_path_factory.mktemp("whole"), **VALIDATED[validated])
            made[validated].part()
            assert made[validated].end()[1] == 8 * BATCHES
        return made[validated]

    return of


def assert_same(chain: Chain, whole: Chain) -> None:
    (tensors, *others), (wanted, *expected) = chain.end(), whole.end()
    assert others == expected
    assert equal(tensors, wanted)


ENDS = {4, 8, 12}
ALL = [
    *((batch,) for batch in range(1, BATCHES + 1)),
    *[pair for pair in combinations(range(1, BATCHES + 1), 2) if ENDS & set(pair)][::6],
    tuple(range(1, BATCHES + 1)),
]
"""After each batch; after an epoch's last and another, some pairs; after every one."""


@pytest.mark.parametrize("validated", VALIDATED)
def test_interrupted_after_any_batches(
    validated: str, whole: Callable[[str], Chain], tmp_path: Path
) -> None:
    for number, batches in enumerate(ALL if validated == "after epochs" else ALL[::4]):
        chain = Chain(tmp_path / str(number), **VALIDATED[validated])
        for batch in (*batches, 0):
            chain.part(batch)
        assert_same(chain, whole(validated))


@pytest.mark.parametrize("first", [1, 3, 4, 5, 8, 12])
def test_max_steps_and_then_max_epochs(
    first: int, whole: Callable[[str], Chain], tmp_path: Path
) -> None:
    """The epoch that was cut short is continued."""
    chain = Chain(tmp_path)
    chain.part(max_epochs=-1, max_steps=first)
    chain.part()
    assert_same(chain, whole("after epochs"))


@pytest.mark.parametrize("first", [3, 4, 5])
def test_max_time(
    first: int, whole: Callable[[str], Chain], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Likewise, except for the scores that Lightning makes at the end of such a training."""
    with monkeypatch.context() as patch:
        patch.setattr(Interruption, "on_train_batch_start", lambda *_: None)
        patch.setattr(
            LastCheckpoint, "save_soon", lambda self, trainer: setattr(trainer, "should_stop", True)
        )
        chain = Chain(tmp_path)
        chain.part(first)
    chain.part()
    tensors, images, _, _ = chain.end()
    assert images == 8 * BATCHES
    assert equal(tensors, whole("after epochs").end()[0])


def test_killed_while_the_validation_runs_that_follows_a_save(
    whole: Callable[[str], Chain], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The validation is repeated, since a save waits for the validation after its batch."""
    chain = Chain(tmp_path, **VALIDATED["within epochs"])

    def killed(self: Validations, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step == 6:
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(Validations, "on_validation_start", killed, raising=False)
        with suppress(AssertionError):  # of the interruption that did not come
            chain.part(99, saves=8)
    chain.logger.records = [(images, _) for images, _ in chain.logger.records if images <= 40]
    chain.part()
    assert_same(chain, whole("within epochs"))
