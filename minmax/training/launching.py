"""What started the processes of a training, and how they end together."""

import os
import re
import signal
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from lightning import Trainer
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.plugins.environments.lsf import LSFEnvironment
from lightning.fabric.plugins.environments.mpi import MPIEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from lightning.pytorch.utilities import rank_zero_only

from minmax.environment import number_in
from minmax.errors import UserError

LOST = "by peer|remote process|socketTimeout"
"""What gloo and NCCL say when a process is gone."""
NO_STEP = 2**32 - 16
"""srun numbers its steps from 0; SLURM gives batch scripts and the like numbers from here on."""


def started_by(plugins: Sequence[Any], nodes: int) -> ClusterEnvironment:
    """The cluster environment of this process: the user's plugin, or torchrun's, SLURM's and so on.

    Variables alone don't prove a cluster. A shell or a batch script in a SLURM job has SLURM's
    variables without srun; waiting for other processes would never end there.

    Raises:
        UserError: variables are set, but what should have set them didn't start this process.
    """
    for plugin in plugins:
        if isinstance(plugin, ClusterEnvironment):
            return plugin
    if TorchElasticEnvironment.detect():
        check_torchrun()
        return TorchElasticEnvironment()
    tasks = number_in("SLURM_NTASKS", 1)
    if "SLURM_NTASKS" in os.environ and not in_step():
        if nodes > 1:
            raise UserError(
                f"--trainer.num_nodes {nodes} in a SLURM job whose processes srun didn't start: "
                "put srun before the command"
            )
        if tasks > 1:
            say(
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
def say(line: str) -> None:
    """Print a line on rank 0 only."""
    print(line, flush=True)


def processes_of(environment: ClusterEnvironment) -> int:
    """How many processes the environment has started; 1 if Lightning starts them.

    Raises:
        UserError: the user's plugin needs variables that are not set.
    """
    try:
        return environment.world_size()
    except KeyError as error:
        raise UserError(
            f"--trainer.plugins {type(environment).__name__} needs {error}, which is not set here: "
            "start the command with what sets it, or leave the plugin out"
        ) from error


def several_work(plugins: Sequence[Any], nodes: int, devices: Any) -> bool:
    """Whether several processes will work together; `devices` is a number, a list, or `auto`."""
    alone = ("1",) if torch.cuda.device_count() > 1 else ("1", "auto")
    return processes_of(started_by(plugins, nodes)) > 1 or nodes > 1 or str(devices) not in alone


@contextmanager
def ranks_end_together(trainer: Trainer) -> Iterator[None]:
    """If this process fails, end the processes that would wait for it.

    Raises:
        UserError: it failed because another process has ended.
    """
    try:
        yield
    except Exception as error:
        launcher: Any = trainer.strategy.launcher
        if launcher is not None:
            launcher.kill(signal.SIGTERM)
            launcher.procs.clear()  # Lightning would kill this process for their exit codes
        if trainer.world_size > 1 and re.search(LOST, str(error)):
            raise UserError(
                "another process of this training has ended, and this one can't go on alone: look "
                "at its messages. The same command with --resume true goes on"
            ) from error
        raise


def in_step() -> bool:
    """Whether srun started this process."""
    step = os.environ.get("SLURM_STEP_ID", os.environ.get("SLURM_STEPID", ""))
    return step.isdecimal() and int(step) < NO_STEP


def check_torchrun() -> None:
    """Refuse stale variables of torchrun."""
    advice = "start the training with torchrun, or unset TORCHELASTIC_RUN_ID"
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        if name not in os.environ:
            raise UserError(f"TORCHELASTIC_RUN_ID is set, and {name} is not: {advice}")
        if name != "MASTER_ADDR":
            number_in(name)
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
        address, port = os.environ["MASTER_ADDR"], number_in("MASTER_PORT")
        try:
            socket.create_connection((address, port), timeout=30).close()
        except OSError as error:
            raise UserError(
                f"TORCHELASTIC_RUN_ID is set, but no torchrun answers at {address}:{port} "
                f"({error}): {advice}"
            ) from error
