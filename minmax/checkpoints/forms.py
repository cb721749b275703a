"""Checks the types of everything in a checkpoint besides its weights.

Lightning and the callbacks load it without checks, and an untrusted file may hold anything.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minmax.checkpoints.weighing import NUMBER, check_options
from minmax.errors import UserError

COUNTER = {"ready": int, "started": int, "processed": int, "completed": int}
COUNTERS = {"total": COUNTER, "current": COUNTER}
STEPS = {kind: {"ready": int, "completed": int, "*": int} for kind in ("total", "current")}
POSITIONS = (
    {"epoch": int, "images": int, "seed": int, "engine?": {"*": int}},
    {"epoch": int, "batch": int, "*": int},  # earlier versions
)
FORM = {
    "pytorch-lightning_version?": str,
    "epoch?": int,
    "global_step?": int,
    "images_seen": int,
    "class_names?": [str],
    "callbacks?": {
        "Finite?": {"returned": int},
        "Diagnosis?": {"curves": dict, "current": [dict], "real_distance": object},
        "*": dict,
    },
    "optimizer_states?": [{"state": {"*": dict}, "param_groups": [{"params": list, "*": object}]}],
    "lr_schedulers?": [dict],
    "hyper_parameters?": dict,
    "settings?": {
        "options": dict,
        "optimizers": [{"class": str, "options": dict, "step_share?": float}],
        "facts": dict,
    },
    "loops?": {
        "fit_loop": {
            "state_dict": {"combined_loader?": [POSITIONS], "*": object},
            "epoch_progress": COUNTERS,
            "epoch_loop.batch_progress": {**COUNTERS, "is_last_batch": bool},
            "epoch_loop.state_dict": dict,
            "epoch_loop.scheduler_progress?": STEPS,
            "epoch_loop.automatic_optimization.optim_progress?": {
                "optimizer": {"step": STEPS, "zero_grad": STEPS}
            },
            "epoch_loop.manual_optimization.optim_step_progress?": STEPS,
            "*": dict,
        },
        "*": {"batch_progress?": {**COUNTERS, "*": bool}, "*": object},
    },
    "*": object,
}
"""Form by key: a key with `?` is optional, and `*` stands for all other keys."""
STATES = ("pytorch-lightning_version", "global_step", "optimizer_states", "lr_schedulers", "loops")
"""What a checkpoint needs to be resumed."""


def check_form(checkpoint: Mapping[str, Any]) -> None:
    """Refuse a checkpoint with values of a wrong type, numbers out of bounds, or foreign paths.

    Raises:
        ValueError: there is such a value.
    """
    compare(checkpoint, FORM, "")
    for state in checkpoint.get("callbacks", {}).values():
        check_places(state)
    check_options(checkpoint.get("settings"), "settings")


def check_states(checkpoint: Mapping[str, Any], path: str) -> None:
    """Refuse to resume a checkpoint that lacks a state: it may hold only a model."""
    for name in STATES:
        if name not in checkpoint:
            raise UserError(
                f"--ckpt_path {path} lacks {name}, without which no training goes on: give another"
            )


def compare(value: Any, form: Any, name: str) -> None:
    """Refuse a value that doesn't have this form.

    Args:
        value: a tree.
        form: a type, a list with the form of all items, a dictionary of forms, or two of these.
        name: of the value.

    Raises:
        ValueError: it has another form.
    """
    if isinstance(form, tuple):  # only the second has the key `batch`
        form = form[isinstance(value, dict) and "batch" in value]
    kind: Any = form if isinstance(form, type) else type(form)
    if not isinstance(value, kind) or (kind is int and type(value) is not int):
        raise ValueError(f"its {name} is a {type(value).__name__}")
    if kind is int and not 0 <= value < NUMBER:
        raise ValueError(f"its {name} is out of all bounds")
    if isinstance(form, list):
        for item in value:
            compare(item, form[0], name)
    elif isinstance(form, dict):
        for key, item in value.items():
            inner = form.get(key, form.get(f"{key}?", form.get("*")))
            place = f"{name}.{str(key)[:100]}".lstrip(".")
            if inner is None:
                raise ValueError(f"it has a {place}")
            compare(item, inner, place)
        if missing := [key for key in form if key[-1] not in "?*" and key not in value]:
            raise ValueError(f"its {name or 'checkpoint'} lacks {missing[0]}")


def check_places(state: Mapping[str, Any]) -> None:
    """Refuse a checkpoint callback's state that names files outside of its own folder.

    Lightning would remove those files when better checkpoints come.

    Raises:
        ValueError: there is such a file.
    """
    best = state.get("best_k_models")
    named = [*best] if isinstance(best, Mapping) else []
    named += [state.get(f"{kind}_model_path") for kind in ("best", "kth_best", "last")]
    for file in named:
        if not file:
            continue
        folder = state.get("dirpath")
        if not isinstance(file, str) or not isinstance(folder, str) or "://" in file:
            raise ValueError(f"its state names the file {file} without a folder")
        if Path(folder).resolve() not in Path(file).resolve().parents:
            raise ValueError(f"its state names the file {file} outside of {folder}")
        if not file.endswith(".ckpt"):
            raise ValueError(f"its state names {file}, which is no checkpoint")
