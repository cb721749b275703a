"""Callbacks have Lightning call the hooks of a batch that they use, and no others."""

from typing import Any

from lightning import Callback

from minmax.callbacks.hooks import GANCallback
from tests.gan_modules.helpers import fit, make_batches, make_model


class Nothing(GANCallback):
    """Uses neither."""


class Before(Nothing):
    """Uses one, though its base uses none."""

    def __init__(self) -> None:
        self.called: list[int] = []

    def before_batch(self, trainer: Any, module: Any, batch: Any) -> None:
        self.called.append(module.images_seen)


class Inherited(Before):
    """Uses that of its base."""


class Own(Nothing):
    """Has Lightning's hook."""

    def __init__(self) -> None:
        self.called = 0

    def on_train_batch_end(self, *arguments: Any) -> None:
        super().on_train_batch_end(*arguments)
        self.called += 1


def test_hooks_that_do_nothing_are_not_called() -> None:
    assert Nothing().on_train_batch_start is None
    assert Nothing().on_train_batch_end is None
    assert Before().on_train_batch_end is None
    before, inherited, own = Before(), Inherited(), Own()
    callbacks: list[Callback] = [Nothing(), before, inherited, own]
    fit(make_model(), make_batches(3), callbacks)
    assert before.called == inherited.called == [0, 8, 16]
    assert own.called == 3
