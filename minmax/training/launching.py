"""Who started the processes of a training, and which ways of starting them are refused."""

import os
import socket
import sys
from collections.abc import Sequence
from typing import Any

from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.lsf import LSFEnvironment
from lightning.fabric.plugins.environments.mpi import MPIEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.strategies import Strategy
from lightning.pytorch.utilities import rank_zero_only

from gan_modules.precision import refuse_precision
from minmax.errors import UserError
from minmax.lightning_inside import trains_in_copies, waits_for_all_gradients

NO_STEP = 2**32 - 16
"""SLURM numbers the steps that srun starts from 0; the batch script and its like are above this."""


def started_by(plugins: Sequence[Any], nodes: int) -> ClusterEnvironment:
    """What started this process: the user's plugin says so, or torchrun's or srun's variables.

    Variables alone don't make a cluster. Those of a SLURM job are also set where a shell or a
    batch script starts Python without srun, and there no other process would ever come.

    Args:
        plugins: of the trainer.
        nodes: machines that were asked for.

    Raises:
        UserError: variables without what should have set them.
    """
    for plugin in plugins:
        if isinstance(plugin, ClusterEnvironment):
            return plugin
    if TorchElasticEnvironment.detect():
        check_torchrun()
        return TorchElasticEnvironment()
    tasks = int(os.environ.get("SLURM_NTASKS", "1"))
    if "SLURM_NTASKS" in os.environ and not in_step():
        if nodes > 1:
            raise UserError(
                f"--trainer.num_nodes {nodes} in a SLURM job whose processes srun didn't start: "
                "put srun before the command"
            )
        if tasks > 1:
            said_once(
                f"This SLURM job has {tasks} tasks, but srun did not start this one: it trains by "
                "itself, on the --trainer.devices of this machine. For all tasks, put srun before "
                "the command."
            )
        return LightningEnvironment()
    try:
        for environment in (SLURMEnvironment, LSFEnvironment, MPIEnvironment):
            if environment.detect():
                return environment()
    except RuntimeError as error:
        raise UserError(str(error)) from error
    return LightningEnvironment()


@rank_zero_only
def said_once(line: str) -> None:
    """Print it on the first of all processes."""
    print(line)


def processes_of(environment: ClusterEnvironment) -> int:
    """How many processes it has started, itself; 1 where Lightning is to start them.

    Raises:
        UserError: it is the user's choice, and its variables are missing.
    """
    try:
        return environment.world_size()
    except KeyError as error:
        raise UserError(
            f"--trainer.plugins {type(environment).__name__} needs {error}, which is not set here: "
            "start the command with what sets it, or leave the plugin out"
        ) from error


def in_step() -> bool:
    """Whether srun started this process."""
    step = os.environ.get("SLURM_STEP_ID", os.environ.get("SLURM_STEPID", ""))
    return step.isdecimal() and int(step) < NO_STEP


def check_torchrun() -> None:
    """Refuse variables that a torchrun left behind.

    Raises:
        UserError: some are missing, or the process that should be behind them doesn't answer.
    """
    advice = "start the training with torchrun, or unset TORCHELASTIC_RUN_ID"
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        if name not in os.environ:
            raise UserError(f"TORCHELASTIC_RUN_ID is set, and {name} is not: {advice}")
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        try:
            socket.create_connection((address, port), timeout=30).close()
        except OSError as error:
            raise UserError(
                f"TORCHELASTIC_RUN_ID is set, but no torchrun answers at {address}:{port} "
                f"({error}): {advice}"
            ) from error


def refuse_settings(settings: Any, several: bool) -> None:
    """Refuse what Lightning can't do with two optimizers, or not here; say what can be done.

    Args:
        settings: the trainer's options.
        several: whether several processes will work together.

    Raises:
        UserError: there is such an option.
    """
    for name in ("gradient_clip_val", "gradient_clip_algorithm"):
        if settings[name]:
            raise UserError(
                f"--trainer.{name} is for models with one optimizer. Give each network a greatest "
                "norm of its own: --model.init_args.generator_clip_norm, "
                "--model.init_args.discriminator_clip_norm"
            )
    precision = str(settings.precision)
    if precision.endswith("-true") or precision.startswith("transformer-engine"):
        refuse_precision(precision)
    if several and hasattr(sys, "ps1"):
        raise UserError(
            "several devices can't be used from within a notebook's own process: start the "
            "command in a terminal, or as !minmax in a cell; or give --trainer.devices 1"
        )


def refuse_strategy(strategy: Strategy, name: str) -> None:
    """Refuse strategies with which a run would be lost, or would end in its first batch.

    Args:
        strategy: as the trainer has it.
        name: what the user called it.

    Raises:
        UserError: it is such a one.
    """
    if trains_in_copies(strategy):
        raise UserError(
            f"--trainer.strategy {name} trains in processes whose counts, scores and checkpoints "
            "don't come back: leave it out; several devices then work together with gan_ddp"
        )
    if type(strategy).load_checkpoint is not Strategy.load_checkpoint:
        raise UserError(
            f"--trainer.strategy {name} reads and writes checkpoints in a way of its own, which is "
            "not looked at for code and damage here: leave it out; several devices then work "
            "together with gan_ddp"
        )
    if waits_for_all_gradients(strategy):
        raise UserError(
            f"--trainer.strategy {name} waits for gradients of both networks in each update, and "
            "only one has them: leave it out (several devices then work together with gan_ddp), or "
            "choose ddp_find_unused_parameters_true"
        )
