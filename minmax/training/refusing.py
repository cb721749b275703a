"""Refuses options that a training doesn't support, most of them Lightning's."""

import math
import sys
from argparse import Namespace
from typing import Any

from lightning import Trainer
from lightning.pytorch.callbacks import BatchSizeFinder, LearningRateFinder, ModelPruning
from lightning.pytorch.strategies import Strategy

from gan_modules.precision import refuse_precision
from minmax.errors import UserError
from minmax.lightning_inside import trains_in_copies, waits_for_all_gradients

CHECKED = (
    *("gradient_clip_val", "gradient_clip_algorithm", "overfit_batches", "precision"),
    *("check_val_every_n_epoch", "log_every_n_steps", "val_check_interval"),
)
"""The trainer's options that `refuse_settings` reads."""


def refuse_infinite(options: Any, name: str) -> None:
    """Refuse numbers that are infinite or none, in an option, which may hold others."""
    if isinstance(options, float) and not math.isfinite(options):
        raise UserError(f"{name} must be a finite number, got {options}")
    if isinstance(options, Namespace):
        options = vars(options)
    if isinstance(options, dict):
        for key, value in options.items():
            refuse_infinite(value, f"{name}.{key}")
    elif isinstance(options, list | tuple):
        for value in options:
            refuse_infinite(value, name)


def refuse_settings(settings: Any, several: bool) -> None:
    """Refuse options that don't work with two optimizers, these data, or in a notebook.

    Args:
        settings: the trainer's options.
        several: whether several processes will work together.
    """
    for name in ("gradient_clip_val", "gradient_clip_algorithm"):
        if settings[name]:
            raise UserError(
                f"--trainer.{name} is for models with one optimizer. Give each network a greatest "
                "norm of its own: --model.init_args.generator_clip_norm, "
                "--model.init_args.discriminator_clip_norm"
            )
    if settings.overfit_batches:
        raise UserError(
            "--trainer.overfit_batches would take other images in each epoch: give a --data of few "
            "images, with --trainer.max_steps"
        )
    for name, least in (("check_val_every_n_epoch", 1), ("log_every_n_steps", 0)):
        if settings[name] is not None and settings[name] < least:
            raise UserError(f"--trainer.{name} must be at least {least}, got {settings[name]}")
    if settings.val_check_interval in (0, 0.0):
        raise UserError(
            "--trainer.val_check_interval must be above 0, got 0: --trainer.limit_val_batches 0 "
            "leaves validations out"
        )
    precision = str(settings.precision)
    if precision.endswith("-true") or precision.startswith("transformer-engine"):
        refuse_precision(precision)
    if several and hasattr(sys, "ps1"):
        raise UserError(
            "several devices can't be used from within a notebook's own process: start the "
            "command in a terminal, or as !minmax in a cell; or give --trainer.devices 1"
        )


def refuse_trainer(trainer: Trainer, name: str) -> None:
    """Refuse what a trainer was made of.

    Callbacks of Lightning's that know one optimizer, or change the networks' weights; strategies
    that would lose the run's results, or fail in the first batch; and some precisions. The name is
    that of the strategy, as the user gave it.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, BatchSizeFinder | LearningRateFinder | ModelPruning):
            raise UserError(
                f"--trainer.callbacks {type(callback).__name__} doesn't work with two networks "
                "that are trained in turn: leave it out"
            )
    if trains_in_copies(trainer.strategy):
        raise UserError(
            f"--trainer.strategy {name} trains in processes whose counts, scores and checkpoints "
            "don't come back: leave it out; several devices then work together with gan_ddp"
        )
    if type(trainer.strategy).load_checkpoint is not Strategy.load_checkpoint:
        raise UserError(
            f"--trainer.strategy {name} reads and writes checkpoints in its own way, without this "
            "project's checks for code and damage: leave it out; several devices then work "
            "together with gan_ddp"
        )
    if waits_for_all_gradients(trainer.strategy):
        raise UserError(
            f"--trainer.strategy {name} waits for gradients of both networks in each update, and "
            "only one has them: leave it out (several devices then work together with gan_ddp), or "
            "choose ddp_find_unused_parameters_true"
        )
    refuse_precision(str(trainer.precision))
