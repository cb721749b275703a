"""Applies the options of a command to the checkpoint that it resumes.

A checkpoint's state would override many options of the command. Here the command's options win, and
each change is printed (docs/resuming.md).
"""

import json
from collections.abc import Iterator
from typing import Any, cast

from lightning import Trainer
from torch.optim import Optimizer

from datamodules import ImageDataModule
from datamodules.names import printable
from gan_modules import GANModule
from gan_modules.bookkeeping.around_steps import NETWORKS
from gan_modules.parts.schedules import take_more_steps
from minmax.errors import UserError
from minmax.training.sizes import batches_of_epoch

KEY = "settings"
"""Key of a checkpoint's settings: plain values."""
OF_A_START = ("ckpt_path", "resume", "dry_run", "progress", "trainer")
"""Options that concern one start of a training; `TRAINERS` has the trainer's exceptions."""
TRAINERS = {"limit_train_batches": None, "sync_batchnorm": False, "accumulate_grad_batches": 1}
SHARE = "step_share"
"""In the settings of an optimizer: how it was corrected for lazy terms (`Penalty.step_share`)."""
Change = tuple[str, Any, Any]


def settings(config: dict[str, Any], trainer: Trainer) -> dict[str, Any]:
    """The settings of a training: options (`config`, plain values), optimizers and facts.

    Raises:
        UserError: it has other optimizers than two.
    """
    data: ImageDataModule = trainer.datamodule  # type: ignore[attr-defined]
    if len(trainer.optimizers) != len(NETWORKS):
        raise UserError(
            f"{type(trainer.lightning_module).__name__} has {len(trainer.optimizers)} optimizers, "
            "and needs the generator's and the discriminator's: give a third network's weights to "
            "one of them in `configure_optimizers`"
        )
    optimizers = [
        {"class": type(optimizer).__name__, "options": plain(optimizer.defaults), SHARE: share}
        for optimizer, share in zip(trainer.optimizers, step_shares(trainer), strict=True)
    ]
    kept = {name: value for name, value in config.items() if name not in OF_A_START}
    kept["trainer"] = {name: config["trainer"].get(name, TRAINERS[name]) for name in TRAINERS}
    facts = {
        "precision": str(trainer.precision),
        "processes": trainer.world_size,
        "training images": data.images_of_epoch(),
    }
    return {"options": kept, "optimizers": optimizers, "facts": facts}


def step_shares(trainer: Trainer) -> tuple[float, float]:
    """`Penalty.step_share` of the generator's and of the discriminator's optimizer."""
    module = cast(GANModule, trainer.lightning_module)
    return module.generator_step_share, module.step_share


def settings_before(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """The settings that a checkpoint holds; from earlier versions, only the model's options."""
    if KEY in checkpoint:
        kept: dict[str, Any] = checkpoint[KEY]
        return kept
    model = checkpoint.get("hyper_parameters", {})
    optimizers = []
    for network in NETWORKS:
        optimizer = model.get(f"{network}_optimizer")
        if isinstance(optimizer, dict) and "class_path" in optimizer:
            name = str(optimizer["class_path"]).rpartition(".")[2]
            optimizers.append({"class": name, "options": optimizer.get("init_args", {})})
    options = {"model": {"class_path": model.get("_class_path"), "init_args": model}}
    return {"options": options, "optimizers": optimizers, "facts": {}}


def plain(value: Any) -> Any:
    """A value as JSON stores it: tuples become lists."""
    return json.loads(json.dumps(value, default=str))


def differences(before: Any, now: Any, name: str = "") -> Iterator[Change]:
    """Options in both that differ, by full name; a changed class counts as one option."""
    nested = isinstance(before, dict) and isinstance(now, dict)
    if nested and before.get("class_path") == now.get("class_path"):
        for key in before:
            if key in now:
                yield from differences(before[key], now[key], f"{name}.{key}" if name else key)
    elif before != now:
        yield name, before, now


def shown(value: Any) -> str:
    """A value in one line, safe to print; a class as its path with options in brackets."""
    options = value.get("init_args") or {} if isinstance(value, dict) else None
    if isinstance(options, dict) and "class_path" in value:
        inner = ", ".join(f"{name}={shown(option)}" for name, option in options.items())
        return printable(f"{value['class_path']}({inner})")
    return printable(value) if isinstance(value, str) else json.dumps(value)


def use_what_is_asked_for(
    checkpoint: dict[str, Any], now: dict[str, Any], trainer: Trainer, module: GANModule
) -> list[str]:
    """Apply the command's options to a checkpoint's states, before the training loads them.

    Returns:
        A line for each change.

    Raises:
        UserError: the checkpoint holds another number of optimizers.
    """
    before = settings_before(checkpoint)
    changes = list(differences(before["options"], now["options"]))
    lines = [
        f"--{name} {shown(old)} -> {shown(new)}, from the command" for name, old, new in changes
    ]
    facts = differences(before["facts"], now["facts"])
    lines += [f"{name} {shown(old)} -> {shown(new)}" for name, old, new in facts]
    states = checkpoint["optimizer_states"]
    if len(states) != len(trainer.optimizers):
        raise UserError(f"the checkpoint holds states of {len(states)} optimizers")
    for index, (old, optimizer, share) in enumerate(
        zip(before["optimizers"], trainer.optimizers, step_shares(trainer), strict=False)
    ):
        if old["class"] != type(optimizer).__name__:
            states[index] = optimizer.state_dict()
            lines.append(f"{old['class']} -> {type(optimizer).__name__}: it begins without a state")
        else:
            take_more_steps(states[index]["param_groups"], share / old.get(SHARE, share))
            change_options(states[index], old["options"], optimizer)
    go_on_in_the_epoch(checkpoint, trainer)
    return lines


def change_options(state: dict[str, Any], before: dict[str, Any], optimizer: Optimizer) -> None:
    """Put the options that the command has changed into an optimizer's state.

    Others keep the state's value: learning rates lowered after a divergence, for example.
    """
    now = plain(optimizer.defaults)
    changed = [name for name in now if name in before and now[name] != before[name]]
    for old, new in zip(state["param_groups"], optimizer.param_groups, strict=True):
        old |= {name: new[name] for name in changed}


def go_on_in_the_epoch(checkpoint: dict[str, Any], trainer: Trainer) -> None:
    """Count the rest of an epoch in batches of the new size.

    The loader skips the images that were seen (`datamodules/loader.py`); this sets Lightning's
    counts of batches accordingly.
    """
    loop = checkpoint["loops"]["fit_loop"]
    epoch, progress = loop["epoch_progress"]["current"], loop["epoch_loop.batch_progress"]
    positions = loop["state_dict"].get("combined_loader", [])
    if epoch["processed"] == epoch["started"] or not positions:
        return
    data: ImageDataModule = trainer.datamodule  # type: ignore[attr-defined]
    batch = data.batch_size * trainer.world_size
    images = data.images_of_epoch()
    batches = batches_of_epoch(trainer, images, batch)
    if batches < images // batch:
        images = batches * batch
    position = positions[0]
    if "images" not in position:  # an earlier version counted batches, all of one size
        position["images"] = (
            position["batch"] * checkpoint["images_seen"] // checkpoint["global_step"]
        )
    left = max(0, images - position["images"]) // batch
    more = batches - left - progress["current"]["ready"]
    progress["current"] = {name: count + more for name, count in progress["current"].items()}
    progress["is_last_batch"] = left == 0
