"""Checks whether a checkpoint can be resumed or tested with this model and data."""

import json
from dataclasses import dataclass
from typing import Any

from lightning import Trainer

from datamodules import ImageDataModule
from gan_modules import GANModule
from gan_modules.bookkeeping.position import position_of
from minmax.checkpoints.forms import check_states
from minmax.checkpoints.reading import read_checkpoint, variant_of
from minmax.checkpoints.weighing import Shapes, first_difference, shapes_of
from minmax.errors import UserError
from minmax.training.launching import say
from minmax.training.precision import precision_of


@dataclass(frozen=True)
class Held:
    """What a checkpoint holds, without its weights.

    Attributes:
        path: of the file.
        images_seen: real images trained on.
        batches: batches trained on.
        epochs: completed epochs.
        class_names: of its data, by label; empty if unknown.
        shapes: of its weights.
        precision: of its training.
    """

    path: str
    images_seen: int
    batches: int
    epochs: int
    class_names: list[str]
    shapes: Shapes
    precision: str

    @classmethod
    def of(cls, path: str, checkpoint: dict[str, Any]) -> "Held":
        """Summarise a checkpoint that was read from the path."""
        loops = checkpoint.get("loops")
        return cls(
            path,
            checkpoint["images_seen"],
            checkpoint.get("global_step", 0),
            position_of(loops["fit_loop"]).epochs if loops else 0,
            list(checkpoint.get("class_names", [])),
            shapes_of(checkpoint["state_dict"]),
            precision_of(checkpoint),
        )


def read_held(path: str, variant: str | None, to_train: bool) -> Held:
    """Read what a checkpoint holds, without its weights.

    Args:
        path: of the file.
        variant: class path of the command's model; None if it is not to be compared.
        to_train: whether a training will resume it.

    Raises:
        UserError: it is damaged, or holds another variant.
    """
    checkpoint = read_checkpoint(path)
    if to_train:
        check_states(checkpoint, path)
    if variant is not None and (held := variant_of(checkpoint, path)) != variant:
        raise UserError(
            f"{path} holds a {held}, but --model is {variant}. Give the config that it was "
            "trained with (config.yaml in its run's folder), or another checkpoint"
        )
    return Held.of(path, checkpoint)


def check_fit(held: Held, model: GANModule, data: ImageDataModule) -> None:
    """Refuse a checkpoint of other networks, or data whose labels mean other classes.

    For a model without classes, a difference of classes is only reported.
    """
    before, names = held.class_names, data.class_names
    if before and before != names:
        differ = f"classes {listed(before)}, but the data has {listed(names)}"
        changed = f"{held.path} was trained on the {differ}: labels would change meaning. "
        if not model.conditional:
            say(f"{held.path} was trained on {differ}. The model doesn't depend on them; scores do")
        elif set(before) <= set(names):
            raise UserError(f"{changed}Add --data.init_args.classes '{listed(before)}'")
        else:
            raise UserError(f"{changed}Name the classes as they were, or start a new run")
    difference = first_difference(held.shapes, shapes_of(model.state_dict()))
    if difference is not None:
        raise UserError(
            f"{held.path} doesn't fit the model: {difference}. Give the model's options "
            "that it was trained with (config.yaml in its run's folder), or begin another run"
        )


def is_finished(held: Held, trainer: Trainer, own: bool) -> bool:
    """Whether the run, if the checkpoint is its own, has reached the end that is asked for.

    Raises:
        UserError: nothing is left to train, and the checkpoint is past the end or another run's.
    """
    limits = {
        "max_epochs": ("epochs", held.epochs, trainer.max_epochs),
        "max_steps": ("batches", held.batches, trainer.max_steps),
    }
    for name, (unit, done, wanted) in limits.items():
        if wanted is None or wanted < 0 or done < wanted:
            continue
        text = (
            f"nothing is left to train: {held.path} is after {done} {unit} ({held.images_seen:,} "
            f"images), and --trainer.{name} is {wanted}, counted from the first start"
        )
        if not own or done > wanted:
            raise UserError(f"{text}. Give more")
        say(f"{text[0].upper()}{text[1:]}. The run is unchanged.")
        return True
    return False


def listed(names: list[str]) -> str:
    """Names as a list that an option accepts, with quotes."""
    return json.dumps(names, ensure_ascii=False)
