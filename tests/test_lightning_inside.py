"""The private names of Lightning that are used exist, and are still needed."""

import ast
import inspect
from pathlib import Path

import pytest
from lightning import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.loops.training_epoch_loop import _TrainingEpochLoop
from lightning.pytorch.trainer.call import _call_lightning_module_hook

import minmax
from minmax.lightning_inside import (
    ask_no_rank_for_sigterm,
    trains_in_copies,
    waits_for_all_gradients,
)
from tests.gan_modules.helpers import make_model

OTHERS = {
    "os._exit",
    "func._overloadpacket",  # torch's: work is counted by its dispatcher
    "t.untyped_storage()._cdata",
    "driven._apply",  # torch's: it changes every tensor of a module
    "options._option_string_actions",  # argparse's: the options of a command
    "layer._conv_forward",  # torch's: what a convolution with a given weight computes
}


def test_others_use_them_by_the_file_of_that_name() -> None:
    found = set()
    for file in Path(minmax.__file__).parent.rglob("*.py"):
        if file.name == "lightning_inside.py":
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Attribute) and node.attr[0] == "_" != node.attr[1]:
                name = ast.unparse(node)
                own = (f"{one}.{node.attr}" for one in ("self", "cls", "super()"))
                found |= {name} - {*own}
            elif isinstance(node, ast.ImportFrom) and str(node.module).startswith("lightning"):
                found |= {
                    alias.name for alias in node.names if alias.name[0] == "_" != alias.name[1]
                }
    assert found == OTHERS


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (LightningCLI, "_parse_ckpt_path"),
        (LightningCLI, "_run_subcommand"),
        (LightningCLI, "_get"),
        (LightningCLI, "_set_seed"),
        (LightningCLI, "_add_instantiators"),
    ],
)
def test_methods_that_are_overridden_are_called(kind: type, name: str) -> None:
    assert f"self.{name}(" in inspect.getsource(kind)


def test_attributes_of_derived_classes_are_there() -> None:
    assert ModelCheckpoint()._last_global_step_saved == 0
    assert "_last_global_step_saved" in inspect.getsource(
        ModelCheckpoint._should_skip_saving_checkpoint
    )
    bar = TQDMProgressBar()
    assert (bar._train_progress_bar, bar._val_progress_bar) == (None, None)


def test_lightning_notes_each_hook_in_the_module() -> None:
    assert "pl_module._current_fx_name = hook_name" in inspect.getsource(
        _call_lightning_module_hook
    )
    model = make_model()
    assert model._current_fx_name is None
    model._current_fx_name = "setup"
    assert vars(model)["_current_fx_name"] == "setup"


def test_ranks_would_wait_for_each_other_in_every_batch() -> None:
    asks, batch = _TrainingEpochLoop._broadcast_sigterm_tensor, _TrainingEpochLoop.advance
    assert "self._broadcast_sigterm_tensor()" in inspect.getsource(batch)
    assert "sigterm_tensor.item()" in inspect.getsource(asks)
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    ask_no_rank_for_sigterm(trainer)
    assert trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor() is None


@pytest.mark.parametrize(
    ("strategy", "copies", "waits"),
    [
        ("auto", False, True),
        ("ddp", False, True),
        ("ddp_find_unused_parameters_true", False, False),
        ("ddp_spawn", True, True),
        ("ddp_notebook_find_unused_parameters_true", True, False),
    ],
)
def test_strategies(strategy: str, copies: bool, waits: bool) -> None:
    """Lightning has no public names for these two facts."""
    trainer = Trainer(
        accelerator="cpu", devices=2, strategy=strategy, logger=False, enable_checkpointing=False
    )
    trainer.strategy._configure_launcher()
    assert trains_in_copies(trainer.strategy) == copies
    assert waits_for_all_gradients(trainer.strategy) == waits


def test_one_process_waits_for_nothing() -> None:
    trainer = Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    assert not trains_in_copies(trainer.strategy)
    assert not waits_for_all_gradients(trainer.strategy)
