"""Training on several devices: gradients of one network at a time, and joint batch norm."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.overrides.distributed import (
    _register_ddp_comm_hook,
    _sync_module_states,
    prepare_for_backward,
)
from lightning.pytorch.plugins.layer_sync import LayerSync
from lightning.pytorch.strategies import DDPStrategy, StrategyRegistry
from torch import Tensor, nn
from torch.distributed.nn import functional as collective
from torch.nn.parallel import DistributedDataParallel

from gan_modules.precision import wide
from minmax.errors import UserError


def summed(part: Tensor) -> Tensor:
    """Differentiable sum over all ranks."""
    return collective.all_reduce(part)  # type: ignore[no-untyped-call]


def alone() -> bool:
    """Whether no other rank can be."""
    return not (torch.distributed.is_available() and torch.distributed.is_initialized())


def sum_over_ranks(values: Tensor) -> Tensor:
    """Sum over all ranks, without gradients; `values` itself if no other rank can be."""
    if alone():
        return values
    total = values.detach().clone()
    torch.distributed.all_reduce(total)
    return total


def mean_over_ranks(values: Tensor) -> Tensor:
    """Mean over all ranks, without gradients; `values` itself if no other rank can be."""
    total = sum_over_ranks(values)
    return values if total is values else total / torch.distributed.get_world_size()


def std_over_ranks(values: Tensor) -> Tensor:
    """Standard deviation (of a sample) of the values of all ranks, without gradients."""
    if alone():
        return values.detach().std()
    wider = values.detach().double()
    total = wider.sum()
    own = torch.stack([torch.full_like(total, values.numel()), total, wider.square().sum()])
    count, total, squares = sum_over_ranks(own)
    std: Tensor = ((squares - total.square() / count) / (count - 1)).sqrt()
    return std.to(values.dtype)


def zero_of(network: nn.Module) -> Tensor:
    """0 as a function of all weights of a network.

    Added to a loss it gives each weight a gradient, for which other ranks wait.
    """
    weights = (weight for weight in network.parameters() if weight.requires_grad)
    return torch.stack([0.0 * weight.sum() for weight in weights]).sum()


class SyncBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm over the batches of all ranks, on GPUs and on CPUs (which torch's own refuses).

    It computes the mean first, then the variance around it, in float32 at least. A single pass
    would subtract two large numbers and lose digits.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        """Accept any input whose channels come second."""

    def forward(self, input: Tensor) -> Tensor:
        """Maps `[N, C, ...]`; each rank may have its own N."""
        if not self.training or not torch.distributed.is_initialized():
            return super().forward(input)
        others = [axis for axis in range(input.dim()) if axis != 1]
        shape = [-1 if axis == 1 else 1 for axis in range(input.dim())]
        with torch.autocast(input.device.type, enabled=False):
            maps = wide(input)
            values = maps.new_full((1,), input.numel() // input.shape[1])
            sums = summed(torch.cat([maps.sum(others), values]))
            count = sums[-1].detach()
            mean = sums[:-1] / count
            centred = maps - mean.view(shape)
            variance = summed(centred.square().sum(others)) / count
            self._remember(mean.detach(), variance.detach() * count / (count - 1))
            outputs = centred * (variance + self.eps).rsqrt().view(shape)
            if self.affine:
                outputs = outputs * self.weight.view(shape) + self.bias.view(shape)
            return outputs.to(input.dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        if not self.track_running_stats:
            return
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        momentum = self.momentum
        if momentum is None:  # a plain average of all batches
            momentum = 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype), momentum)


class JointBatchNorm(LayerSync):
    """What `--trainer.sync_batchnorm true` does to a model."""

    def apply(self, model: nn.Module) -> nn.Module:
        """Change the layers in place: they keep their weights, buffers and names."""
        for layer in model.modules():
            if isinstance(layer, nn.modules.batchnorm._BatchNorm):
                layer.__class__ = SyncBatchNorm
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        """Do nothing: without other ranks these layers do what torch's own do."""
        return model


REFUSED = ("static_graph", "find_unused_parameters", "model_averaging_period")
"""Options of DDP that don't work for networks that take turns."""


class GANDDP(DDPStrategy):
    """Distributed data parallel with a reducer for each network: `--trainer.strategy gan_ddp`.

    Lightning's DDP has one reducer for the whole model, which waits for gradients of the frozen
    network. Here a backward pass sends only the gradients of the network that is updated.

    Raises:
        UserError: with an option or a model, gradients would silently not be shared.
    """

    def setup(self, trainer: Trainer) -> None:
        """Replace torch's joint batch norm by this one."""
        if self._layer_sync is not None:
            self._layer_sync = JointBatchNorm()
        super().setup(trainer)

    def _setup_model(self, model: nn.Module) -> LightningModule:  # type: ignore[override]
        assert isinstance(model, LightningModule)
        given = self._ddp_kwargs | {"model_averaging_period": self._model_averaging_period}
        for option in REFUSED:
            if given.get(option):
                raise UserError(
                    f"`Trainer.strategy` gan_ddp can't have {option}: its networks take turns. "
                    "Leave the option out, or choose ddp_find_unused_parameters_true"
                )
        own = [
            name for name, weight in model.named_parameters(recurse=False) if weight.requires_grad
        ]
        if own:
            raise UserError(
                f"`Trainer.strategy` gan_ddp shares the gradients of networks, and {own[0]} belongs"
                " to none: put it into one, or choose ddp_find_unused_parameters_true"
            )
        devices = self.determine_ddp_device_ids()
        self._reducers: list[DistributedDataParallel] = []
        for network in model.children():
            if any(parameter.requires_grad for parameter in network.parameters()):
                self._reducers.append(
                    DistributedDataParallel(network, device_ids=devices, **self._ddp_kwargs)
                )
        _sync_module_states(model)  # for the average, which has no reducer
        self._synchronising = True
        return model  # not wrapped: the checkpoint's keys stay

    def _register_ddp_hooks(self) -> None:
        if self._ddp_comm_hook is not None:
            for reducer in self._reducers:
                _register_ddp_comm_hook(
                    reducer, self._ddp_comm_state, self._ddp_comm_hook, self._ddp_comm_wrapper
                )

    def pre_backward(self, closure_loss: Tensor) -> None:
        """Prepare the reducer of the network that isn't frozen."""
        for reducer in self._reducers if self._synchronising else []:
            if any(parameter.requires_grad for parameter in reducer.module.parameters()):
                prepare_for_backward(reducer, closure_loss)

    @contextmanager
    def block_backward_sync(self) -> Iterator[None]:
        """Share no gradients of backward passes in this block."""
        self._synchronising = False
        try:
            yield
        finally:
            self._synchronising = True

    def teardown(self) -> None:
        """Let go of the reducers and their copies of the gradients."""
        self._reducers = []
        super().teardown()


StrategyRegistry.register("gan_ddp", GANDDP, description=GANDDP.__doc__, override=True)
