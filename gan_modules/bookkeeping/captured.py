"""A whole training step as one CUDA graph for each kind of step.

The first steps of a kind train as always, on the stream that is then captured. The next one is
captured: its Python code runs once more, and what it asks of the device is recorded and not done.
From then on the recording is replayed, without the Python code, on new images. Random numbers go on
as without: a replay draws from the seed that the device's generator has then.

What changes from step to step has to be on the device: images, learning rates and the parts' 0-dim
tensors are filled before each replay. All else that decides what a step does is its kind. Of it the
optimizers' other numbers, their betas say, may change with a schedule: then a step is captured at
its second time with the same numbers, and the recordings with earlier ones are dropped.
"""

import gc
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from inspect import signature
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import torch
from torch import Tensor
from torch.optim import Optimizer

from gan_modules.base import Batch, GANModule
from gan_modules.precision import widened
from minmax.errors import UserError, beginning_of

WAITS = "synchronizing CUDA operation"
"""In torch's warning of an operation that waits for the device."""
WARM = 3
"""Steps of a kind before it is captured, whatever their numbers."""
MOST_SCALARS = 256
MOST_UNKNOWN = 64
"""Kinds that are kept though they were not captured."""
MOST_RECORDED = 64
"""Kinds with a recording; one more, and all are captured anew."""
Step = Callable[[Batch, int], None]


class Recorder(Protocol):
    """Runs and records functions on a device."""

    def warm(self, step: Callable[[], None], watch: bool) -> str | None:
        """Run a function where it will be recorded; return what rules that out, if watched."""

    def record(self, step: Callable[[], None], first: bool) -> Callable[[], None]:
        """Record what a function does on the device, without doing it; return what does it.

        Args:
            step: the function.
            first: whether no earlier recording is left.
        """


class CUDARecorder:
    """Records CUDA graphs, which share their memory."""

    def __init__(self) -> None:
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]

    def warm(self, step: Callable[[], None], watch: bool) -> str | None:
        """Run a function on the stream of the captures; return where it waits for the device."""
        current = torch.cuda.current_stream()
        self.stream.wait_stream(current)
        watched: AbstractContextManager[list[str]] = waits() if watch else nullcontext([])
        with torch.cuda.stream(self.stream), watched as where:
            step()
        current.wait_stream(self.stream)
        return f"it waits for the device in {where[0]}" if where else None

    def record(self, step: Callable[[], None], first: bool) -> Callable[[], None]:
        """Capture a function, into memory that the recordings share.

        Raises:
            UserError: it can't be captured, and this version of torch can't go on after that.
        """
        graph, before = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        if first:
            self.pool = torch.cuda.graph_pool_handle()
        try:
            # Other threads (of a loader, of a writer) may use the device meanwhile.
            with (
                uncollected(),
                torch.cuda.graph(
                    graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"
                ),
            ):
                step()
        except Exception as error:
            torch.cuda.set_stream(before)
            try:
                torch.rand(1, device=self.stream.device)
            except RuntimeError:
                raise UserError(
                    f"a step can't be captured as a CUDA graph ({beginning_of(error)}), and torch "
                    f"{torch.__version__} can't go on after that: add --graph.enabled false"
                ) from error
            raise
        return graph.replay


class Key(NamedTuple):
    """Tells the kinds of steps apart; equal ones run the same operations with the same numbers.

    Attributes:
        apart: all but the numbers of the optimizers.
        numbers: those, without learning rates.
    """

    apart: tuple[Any, ...]
    numbers: str


@contextmanager
def uncollected() -> Iterator[None]:
    """Collect no garbage meanwhile: graphs may be in it, and none may be destroyed in a capture."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextmanager
def waits() -> Iterator[list[str]]:
    """Gather the places, `file:line`, where the host waits for the device."""
    before, thread = torch.cuda.get_sync_debug_mode(), threading.get_ident()
    where: list[str] = []
    with warnings.catch_warnings():
        show = warnings.showwarning

        def note(message: Any, kind: Any, file: str, line: int, *more: Any, **named: Any) -> None:
            if WAITS not in str(message):
                show(message, kind, file, line, *more, **named)
            elif threading.get_ident() == thread:  # a loader's thread may wait
                where.append(f"{Path(file).name}:{line}")

        warnings.showwarning = cast(Any, note)
        warnings.filterwarnings("always", f".*{WAITS}")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield where
        finally:
            torch.cuda.set_sync_debug_mode(before)


@dataclass
class Kind:
    """What is known of a kind of step.

    Attributes:
        steps: number of them so far.
        replay: does the step on the device; None before it is captured.
        counted: by how much it raises the count of steps.
        scalars: the values that it observes, which the recording writes.
        observed: modules and parts, each with its values by log name.
    """

    scalars: Tensor
    steps: int = 0
    replay: Callable[[], None] | None = None
    counted: int = 0
    observed: list[tuple[Any, dict[str, Tensor]]] = field(default_factory=list)


class CapturedStep:
    """A variant's training step, captured and replayed; call it instead of the step.

    Args:
        module: the variant.
        step: its training step.
        recorder: of the device.
        count: raises the trainer's count of steps by a number.
        say: called with a line if a step can't be captured; from then on all train eagerly.
    """

    def __init__(
        self,
        module: GANModule,
        step: Step,
        recorder: Recorder,
        count: Callable[[int], None],
        say: Callable[[str], None] = print,
    ) -> None:
        self.module, self.step, self.recorder = module, step, recorder
        self.count, self.say = count, say
        self.kinds: dict[Key, Kind] = {}
        self.warmed: Counter[Any] = Counter()
        self.shown: dict[Any, Batch] = {}
        self.captures = 0
        self.gave_up = self.told = False
        self.rates = HeldRates(module.trainer.optimizers, module.device)
        # Lightning asks for it in every batch, `self` included, and it takes long to find out.
        self.__signature__ = signature(type(self).__call__)
        self.hooks = [  # the states are then other tensors
            optimizer.register_load_state_dict_post_hook(lambda _: self.kinds.clear())
            for optimizer in module.trainer.optimizers
        ]

    def __call__(self, batch: Batch, batch_idx: int) -> None:
        """Train on a batch."""
        if self.gave_up:
            self.step(batch, batch_idx)
            return
        key = self._key(batch)
        kind, shown = self._kind(key, widened(batch[0].dtype)), self._show(batch)
        self.rates.fill()
        if kind.replay is None and (self.warmed[key.apart] < WARM or not kind.steps):
            kind.steps += 1
            self.warmed[key.apart] += 1
            watch = self.warmed[key.apart] == WARM  # the first ones also make what is kept
            held, logged = self._held_tensors() if watch else [], list[str]()
            with self._held(capturing=False), self._noting(logged):
                reason = self.recorder.warm(lambda: self.step(shown, batch_idx), watch)
            self._log()
            if watch and logged:
                reason = f"the step logs {logged[0]} by `log`, and not by `observed`"
            elif watch and held != self._held_tensors():
                reason = "the step replaces a weight or buffer, and doesn't change it in place"
            if reason is not None:
                self._give_up(reason)
            return
        if kind.replay is None:
            self._drop_recordings(key, kind)
            try:
                self._capture(kind, shown, batch_idx)
            except UserError:
                raise
            except Exception as error:
                self._give_up(f"{type(error).__name__}: {beginning_of(error)}")
                self.step(batch, batch_idx)
                return
        else:
            self.count(kind.counted)
        assert kind.replay is not None
        kind.replay()
        for holder, values in kind.observed:
            holder.observed = holder.observed | values
        self._log()

    def close(self) -> None:
        """Drop the recordings, and leave the optimizers alone."""
        self.kinds.clear()
        for hook in self.hooks:
            hook.remove()

    @property
    def recorded(self) -> list[Key]:
        """The kinds with a recording; all have the same numbers."""
        return [key for key, kind in self.kinds.items() if kind.replay is not None]

    def _held_tensors(self) -> list[int]:
        """Which tensors the module holds, by identity."""
        module = self.module
        return [id(tensor) for tensor in (*module.parameters(), *module.buffers())]

    @contextmanager
    def _noting(self, logged: list[str]) -> Iterator[None]:
        """Note what the step logs by itself: a replay would not."""
        log, attributes = self.module.log, vars(self.module)

        def noted(name: str, *given: Any, **options: Any) -> None:
            logged.append(name)
            log(name, *given, **options)

        attributes["log"] = noted
        try:
            yield
        finally:
            del attributes["log"]

    def _give_up(self, reason: str) -> None:
        self.say(f"Trains without a CUDA graph: {reason}")
        self.gave_up = True
        self.kinds.clear()

    def _log(self) -> None:
        if self.module.logging_due:
            self.module.log_batch()

    @contextmanager
    def _held(self, capturing: bool) -> Iterator[None]:
        """Leave out of the step what reads or writes numbers of the host."""
        self.module.logs_later = True
        try:
            with self.rates.held(capturing):
                yield
        finally:
            self.module.logs_later = False

    def _key(self, batch: Batch) -> Key:
        return Key((self.module.kind_of_step(), form(batch)), self.rates.constants())

    def _kind(self, key: Key, dtype: torch.dtype) -> Kind:
        if key not in self.kinds:
            self._drop_kinds_of_one_step()
            scalars = torch.zeros(MOST_SCALARS, dtype=dtype, device=self.module.device)
            self.kinds[key] = Kind(scalars)
        return self.kinds[key]

    def _drop_recordings(self, key: Key, kind: Kind) -> None:
        """Drop those with other numbers than the next one, or all if they are too many.

        This comes before the next one is made, and leaves none: with any graph of a stream torch
        (from 2.12 on) frees cuBLAS's memory of that stream, which others have in use
        (https://github.com/pytorch/pytorch/issues/193402).
        """
        recorded = self.recorded
        if len(recorded) >= MOST_RECORDED:
            self.kinds = {key: kind}
        elif any(other.numbers != key.numbers for other in recorded):
            self.kinds = {k: v for k, v in self.kinds.items() if k.numbers == key.numbers}

    def _drop_kinds_of_one_step(self) -> None:
        """Numbers that change with each step would fill the memory with kinds."""
        if len(self.warmed) > MOST_UNKNOWN + MOST_RECORDED:
            self.warmed.clear()
        if sum(kind.replay is None for kind in self.kinds.values()) <= MOST_UNKNOWN:
            return
        self.kinds = {key: self.kinds[key] for key in self.recorded}
        if not self.captures and not self.told:
            self.told = True
            self.say(
                "Trains without a CUDA graph so far: each step has other numbers, of scheduled "
                "betas say. Those that are alike are captured"
            )

    def _show(self, batch: Batch) -> Batch:
        """Copy a batch to where the recordings read theirs."""
        key = form(batch)
        if key not in self.shown:
            images, classes = batch
            self.shown[key] = images.clone(), classes.clone()
        else:
            for held, new in zip(self.shown[key], batch, strict=True):
                held.copy_(new, non_blocking=True)
        return self.shown[key]

    def _capture(self, kind: Kind, shown: Batch, batch_idx: int) -> None:
        """Record a step, which counts it, and leave gradients and observed values as they were."""
        module = self.module
        holders: list[Any] = [module, *module.parts()]
        before = [{name: v.detach() for name, v in holder.observed.items()} for holder in holders]
        counted = module.trainer.global_step

        def step() -> None:
            self.step(shown, batch_idx)
            self._keep(kind, holders)

        for holder in holders:  # with the values go the graphs of the last step
            holder.observed = {}
        module.zero_grad()
        try:
            with self._held(capturing=True):
                kind.replay = self.recorder.record(step, first=not self.recorded)
            kind.counted = module.trainer.global_step - counted
            self.captures += 1
        except Exception:
            self.count(counted - module.trainer.global_step)
            raise
        finally:
            module.zero_grad()  # they lie in memory that other recordings write, too
            for holder, values in zip(holders, before, strict=True):
                holder.observed = values

    @staticmethod
    def _keep(kind: Kind, holders: list[Any]) -> None:
        """Write the observed scalars to where no other recording writes."""
        values = [value.detach() for holder in holders for value in holder.observed.values()]
        dtype, places = kind.scalars.dtype, iter(kind.scalars)
        kept = torch.stack([value.to(dtype).reshape(()) for value in values])
        kind.scalars[: len(values)].copy_(kept)
        kind.observed = [
            (holder, {name: next(places) for name in holder.observed})
            for holder in holders
            if holder.observed
        ]


class HeldRates:
    """Learning rates as tensors, which a recording reads; between the steps they stay numbers.

    Args:
        optimizers: of the training.
        device: of their weights.
    """

    def __init__(self, optimizers: list[Optimizer], device: torch.device) -> None:
        # Fused kernels read float32 on a GPU; on a CPU the number itself is read.
        dtype = torch.float64 if device.type == "cpu" else torch.float32
        self.optimizers = optimizers
        self.tensors = [torch.zeros((), dtype=dtype, device=device) for _ in self.groups]
        self.filled: list[float | None] = [None] * len(self.groups)
        self.named: list[tuple[str, Any]] = []
        self.written = ""

    @property
    def groups(self) -> list[dict[str, Any]]:
        """The optimizers' groups; a checkpoint that is loaded replaces them."""
        return [group for optimizer in self.optimizers for group in optimizer.param_groups]

    def fill(self) -> None:
        """Take over the rates of the coming step, if they have changed."""
        for index, (group, tensor) in enumerate(zip(self.groups, self.tensors, strict=True)):
            if self.filled[index] != group["lr"]:
                self.filled[index] = group["lr"]
                tensor.fill_(group["lr"])

    @contextmanager
    def held(self, capturing: bool) -> Iterator[None]:
        """Have the optimizers read the tensors."""
        before = [{n: g[n] for n in ("lr", "capturable") if n in g} for g in self.groups]
        for group, tensor in zip(self.groups, self.tensors, strict=True):
            group["lr"] = tensor
            if "capturable" in group:  # asked for by torch in a capture, and nowhere else
                group["capturable"] = capturing
        try:
            yield
        finally:
            for group, values in zip(self.groups, before, strict=True):
                for name, value in values.items():
                    group[name] = value

    def constants(self) -> str:
        """The optimizers' other numbers, which a recording contains."""
        named = [(n, v) for g in self.groups for n, v in g.items() if n not in ("params", "lr")]
        if named != self.named:  # takes less time than to write them
            self.named, self.written = named, str(named)
        return self.written


def form(batch: Batch) -> tuple[Any, ...]:
    """Shapes, types and memory formats of a batch."""
    return tuple((tensor.shape, tensor.stride(), tensor.dtype) for tensor in batch)


def why_eager(module: GANModule) -> str | None:
    """Why a variant's steps can't be captured, as far as that is known beforehand."""
    trainer = module.trainer
    if trainer.world_size > 1:
        return "several devices train together"
    if getattr(trainer.precision_plugin, "scaler", None) is not None:
        return "the scaler of 16-mixed waits for the device"
    for optimizer in trainer.optimizers:
        if any(isinstance(group["lr"], Tensor) for group in optimizer.param_groups):
            return f"{type(optimizer).__name__}'s learning rate is a tensor (give it as a number)"
        if not all(group.get("fused") for group in optimizer.param_groups):
            return f"{type(optimizer).__name__} isn't fused (give its init_args fused: true)"
    return None
