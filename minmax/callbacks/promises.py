"""Refuses variants, networks and parts that would train wrongly without a word."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.optim import Optimizer

from gan_modules import GANModule
from gan_modules.base import Batch
from gan_modules.parts import Augment, Penalty
from gan_modules.parts.augment import InOrder
from gan_modules.parts.part import Part
from gan_modules.parts.penalty import SumOfPenalties
from minmax.callbacks.hooks import GANCallback, data_of
from minmax.errors import UserError
from minmax.image_sizes import sides

TO_CALL: dict[type[Part], tuple[str, ...]] = {
    Penalty: ("lazy", "after", "of_generator"),
    Augment: ("adapt",),
}
"""Methods that a step has to call if its penalty or augmentation has them."""
KEPT = ("images_seen", "finished_images")
"""Numbers of a variant that change, and that the base keeps."""


class Promises(GANCallback):
    """Watches the first turn of a training, and is gone after it."""

    _watched: "Watched | None" = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look for weights without an optimizer, and begin to watch.

        Raises:
            UserError: there is one.
        """
        assert isinstance(pl_module, GANModule)
        self.rest(False)
        optimized = {id(p) for o in trainer.optimizers for g in o.param_groups for p in g["params"]}
        for name, weight in pl_module.named_parameters():
            if weight.requires_grad and id(weight) not in optimized:
                raise UserError(
                    f"{name} is in no optimizer, so that it would never be trained: give it to one "
                    "in `configure_optimizers`, or turn its requires_grad off"
                )
        self._watched = Watched(trainer, pl_module)

    def after_batch(self, trainer: Trainer, module: GANModule, batch: Batch) -> None:
        """Look at the batch, and after the turn at all of it.

        Raises:
            UserError: the step would train wrongly.
        """
        assert self._watched is not None
        self._watched.after_batch()
        if self._watched.batches == module.discriminator_steps:
            self._watched.after_turn()
            self.teardown(trainer, module, "fit")
            self.rest()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Watch no longer; the training may have ended within its first turn."""
        if self._watched is not None:
            self._watched.close()
            self._watched = None

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Do so here, too: after an exception Lightning calls no `teardown`."""
        self.teardown(trainer, pl_module, "fit")


class Watched:
    """A variant whose calls are watched.

    Args:
        trainer: at the start of its training.
        module: the variant.
    """

    def __init__(self, trainer: Trainer, module: GANModule) -> None:
        self.trainer, self.module, self.batches = trainer, module, 0
        self.kind = type(module).__name__
        self.steps, self.images = trainer.global_step, module.images_seen
        self.numbers = dict(numbers_of(module))
        self.trained = set[int]()
        self.uncalled = dict.fromkeys(methods_to_call(module))
        for part, method in self.uncalled:
            vars(part)[method] = partial(self.called, part, method, getattr(part, method))
        data = data_of(trainer)
        image = (data.channels, *sides(data.image_size))
        self.of_batch = [
            module.generator.register_forward_hook(partial(check_images, image)),
            module.discriminator.register_forward_hook(check_logits),
        ]
        penalties = (part for part in module.modules() if isinstance(part, Penalty))
        self.of_batch += [penalty.register_forward_hook(check_term) for penalty in penalties]
        self.of_turn = [o.register_step_pre_hook(self.steps_by) for o in trainer.optimizers]

    def called(self, part: Part, method: str, function: Any, /, *given: Any, **named: Any) -> Any:
        """Note that a part's method is called."""
        self.uncalled.pop((part, method), None)
        return function(*given, **named)

    def steps_by(self, optimizer: Optimizer, *given: Any) -> None:
        """Note which weights a step changes."""
        weights = (weight for group in optimizer.param_groups for weight in group["params"])
        self.trained |= {id(weight) for weight in weights if weight.grad is not None}

    def close(self) -> None:
        """Watch no longer."""
        for hook in (*self.of_batch, *self.of_turn):
            hook.remove()
        for part, method in methods_to_call(self.module):
            vars(part).pop(method, None)

    def after_batch(self) -> None:
        """Look at counts and numbers after a batch.

        Raises:
            UserError: a batch is not one step, or was not finished.
        """
        self.batches += 1
        stepped = self.trainer.global_step - self.steps
        if stepped != self.batches:
            raise UserError(
                f"{self.kind}.training_step made {stepped} counted steps in {self.batches} "
                "batch(es), and one a batch is right: take both optimizers from "
                "`self.both_optimizers()`, step the discriminator's once a batch, and wrap it in "
                "`self.uncounted` for more"
            )
        if self.module.images_seen == self.images:
            raise UserError(
                f"{self.kind} doesn't count its images: a hook of Lightning that it has itself "
                "(on_train_batch_start, say) must call that of `super()`"
            )
        if self.batches > 1:  # later steps may be replayed, without their Python code
            return
        for hook in self.of_batch:  # they wait for the device, which no captured step may
            hook.remove()
        if self.module.finished_images != self.module.images_seen:
            raise UserError(
                f"{self.kind}.training_step must end with `self.finish_batch(real_logits, "
                "fake_logits)`, which moves the averages and logs"
            )
        for name, value in numbers_of(self.module):
            if value != self.numbers.get(name):
                rank_zero_warn(
                    f"{name} changes with the training, and no checkpoint holds it: unless it is "
                    "computed anew in each step, keep it in a buffer (`register_buffer`), and "
                    "change it in place"
                )

    def after_turn(self) -> None:
        """Look at what the turn has left out.

        Raises:
            UserError: a part's method was not called.
        """
        for part, method in self.uncalled:
            name = "penalty" if isinstance(part, Penalty) else "augment"
            raise UserError(
                f"`{name}` {type(part).__name__} needs `{method}`, which "
                f"{self.kind}.training_step doesn't call: see that of gan_modules/gan.py"
            )
        for name, weight in self.module.named_parameters():
            if weight.requires_grad and id(weight) not in self.trained:
                rank_zero_warn(
                    f"{name} had no gradient in the first turn, so that it isn't trained: "
                    "`self.updating` has to name every network that an update trains"
                )


def methods_to_call(module: GANModule) -> Iterator[tuple[Part, str]]:
    """The parts of a variant, each with a method that is not the base's."""
    for part in single(module.children()):
        for base, methods in TO_CALL.items():
            for method in methods if isinstance(part, base) else ():
                if getattr(type(part), method) is not getattr(base, method):
                    yield part, method


def single(parts: Iterable[nn.Module]) -> Iterator[Part]:
    """Parts, with those that a sum or an order of them holds in its place."""
    for part in parts:
        if isinstance(part, SumOfPenalties):
            yield from single(part.penalties)
        elif isinstance(part, InOrder):
            yield from single(part.changes)
        elif isinstance(part, Part):
            yield part


def numbers_of(module: GANModule) -> Iterator[tuple[str, float]]:
    """Numbers that the variant and its parts keep as attributes, by name."""
    parts = (
        (n, part) for n, part in module.named_modules() if part is module or isinstance(part, Part)
    )
    for path, part in parts:
        for name, value in vars(part).items():
            if type(value) in (int, float) and name[0] != "_" and name not in KEPT:
                yield f"{path or type(module).__name__}.{name}", value


def check_images(image: tuple[int, ...], network: nn.Module, given: Any, output: Any) -> None:
    """Refuse a generator's images of another shape."""
    if not isinstance(output, Tensor) or output.shape[1:] != image:
        raise UserError(
            f"`generator` {type(network).__name__} returned {shape_of(output)}: return images "
            f"[N, {', '.join(map(str, image))}]"
        )


def check_logits(network: nn.Module, given: Any, output: Any) -> None:
    """Refuse a discriminator's logits of another shape."""
    if not isinstance(output, Tensor) or output.ndim != 1:
        raise UserError(
            f"`discriminator` {type(network).__name__} returned {shape_of(output)}: return one "
            "logit an image, [N]"
        )


def check_term(penalty: nn.Module, given: Any, output: Any) -> None:
    """Refuse a penalty that is no scalar, or that teaches nothing."""
    name = type(penalty).__name__
    if not isinstance(output, Tensor) or output.ndim:
        raise UserError(
            f"`penalty` {name} returned {shape_of(output)}: return a tensor of one number"
        )
    if not output.requires_grad and bool(output != 0):
        raise UserError(
            f"`penalty` {name} returned {output.item():.3g} without a gradient, so that it changes "
            "no weight: it needs create_graph=True, or must not detach"
        )


def shape_of(output: Any) -> str:
    """What was returned, for an error."""
    return f"{[*output.shape]}" if isinstance(output, Tensor) else type(output).__name__
