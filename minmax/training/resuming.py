"""Whether a training can go on from a checkpoint, and a test be of it."""

import json
from dataclasses import dataclass
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.utilities import rank_zero_only

from gan_modules.bookkeeping.position import position_of
from minmax.checkpoints.forms import check_states
from minmax.checkpoints.reading import read_checkpoint, variant_of
from minmax.checkpoints.weighing import Shapes, first_difference, shapes_of
from minmax.errors import UserError


@dataclass(frozen=True)
class Held:
    """What a checkpoint holds, without its weights.

    Attributes:
        path: of the file.
        images_seen: real images trained on.
        batches: batches trained on.
        epochs: that are whole.
        class_names: of its data, by label; empty if it doesn't say.
        shapes: of its weights.
    """

    path: str
    images_seen: int
    batches: int
    epochs: int
    class_names: list[str]
    shapes: Shapes

    @classmethod
    def of(cls, path: str, checkpoint: dict[str, Any]) -> "Held":
        """Of a checkpoint that was read from the path."""
        loops = checkpoint.get("loops")
        return cls(
            path,
            checkpoint["images_seen"],
            checkpoint.get("global_step", 0),
            position_of(loops["fit_loop"]).epochs if loops else 0,
            list(checkpoint.get("class_names", [])),
            shapes_of(checkpoint["state_dict"]),
        )


def read_held(path: str, variant: str, to_train: bool) -> Held:
    """What a checkpoint holds.

    Args:
        path: of the file.
        variant: class path that the command has for the model.
        to_train: whether a training is to go on from it.

    Raises:
        UserError: it is no whole checkpoint, or of another variant.
    """
    checkpoint = read_checkpoint(path)
    if to_train:
        check_states(checkpoint, path)
    variant_held = variant_of(checkpoint, path)
    if variant_held != variant:
        raise UserError(
            f"--ckpt_path {path} holds a {variant_held}, but --model is {variant}. Give the config "
            "that it was trained with (config.yaml in its run's folder), or another checkpoint"
        )
    return Held.of(path, checkpoint)


def check_classes(held: Held, class_names: list[str], conditional: bool) -> None:
    """Refuse data whose labels mean something else to the checkpoint's model.

    A model that isn't asked for classes doesn't know what they are called: that is said.

    Args:
        held: of the checkpoint.
        class_names: of the data, by label.
        conditional: whether the model is asked for classes.

    Raises:
        UserError: the data's classes are others, or in another order.
    """
    before = held.class_names
    if not before or before == class_names:
        return
    differ = f"classes {listed(before)}, but the data has {listed(class_names)}"
    if not conditional:
        say(f"{held.path} was trained on {differ}. The model doesn't depend on them; scores do")
    elif set(before) <= set(class_names):
        raise UserError(
            f"--ckpt_path {held.path} was trained on the {differ}: its labels would mean others. "
            f"Add --data.init_args.classes '{listed(before)}'"
        )
    else:
        raise UserError(
            f"--ckpt_path {held.path} was trained on the {differ}: its labels would mean others. "
            "Name the classes as they were, or start a new run"
        )


def check_shapes(held: Held, model: torch.nn.Module) -> None:
    """Refuse a checkpoint of other networks.

    Raises:
        UserError: a weight is missing, or has another shape.
    """
    difference = first_difference(held.shapes, shapes_of(model.state_dict()))
    if difference is not None:
        raise UserError(
            f"--ckpt_path {held.path} doesn't fit the model: {difference}. Give the config that it "
            "was trained with (config.yaml in its run's folder)"
        )


def is_finished(held: Held, trainer: Trainer, own: bool) -> bool:
    """Whether a run has come to the end that the command asks for.

    Args:
        held: of the checkpoint to go on from.
        trainer: of the training to come.
        own: whether the checkpoint is the run's own.

    Raises:
        UserError: it has gone further, or the checkpoint is another run's.
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
        say(f"{text[0].upper()}{text[1:]}. The run is as it was.")
        return True
    return False


def listed(names: list[str]) -> str:
    """Names as an option takes them, whatever they look like."""
    return json.dumps(names, ensure_ascii=False)


@rank_zero_only
def say(line: str) -> None:
    """Print a line once, however many processes train."""
    print(line, flush=True)
