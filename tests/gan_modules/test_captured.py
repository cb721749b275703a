"""Captured steps, with a stand-in for CUDA graphs that records and replays on the CPU."""

import gc
import threading
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from functools import partial
from inspect import getfullargspec
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gan_modules import GAN, GANModule
from gan_modules.bookkeeping import captured
from gan_modules.bookkeeping.captured import WARM, CapturedStep
from gan_modules.parts import (
    R1,
    CrossEntropy,
    LazyPenalty,
    LinearSchedule,
    OptimizerSchedule,
    TopK,
)
from minmax.benchmarks import replayed
from minmax.callbacks import Diagnosis, StepGraph
from minmax.errors import UserError
from tests.gan_modules.helpers import (
    AfterBatch,
    RecordingLogger,
    TinyImages,
    copied,
    equal,
    fit,
    make_batches,
    make_model,
)
from tests.gan_modules.test_parts import FUSED, OPTIONS

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*LeafSpec.*", "ignore:You defined a .validation_step.", "ignore:.*logging interval.*"
)


class Operations(TorchDispatchMode):
    """The operations that ran, with all numbers that they were given: what a graph contains."""

    def __init__(self) -> None:
        super().__init__()
        self.ran: list[tuple[str, list[Any]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        leaves = tree_leaves((args, kwargs))
        numbers = [v for v in leaves if isinstance(v, int | float | bool)]
        self.ran.append((str(func), numbers))
        return func(*args, **(kwargs or {}))


class StandIn:
    """Records a function by running it and undoing what it did to tensors; replays it likewise.

    A replay has to run the recorded operations with the recorded numbers, and what it does on the
    host is undone: a graph knows nothing of it.
    """

    captured: CapturedStep

    def __init__(self) -> None:
        self.warmed = self.replays = 0
        self.firsts: list[bool] = []

    @property
    def model(self) -> GANModule:
        return self.captured.module

    def warm(self, step: Callable[[], None], watch: bool) -> str | None:
        self.warmed += 1
        step()
        return None

    def state(self) -> list[Tensor]:
        optimizers = [o.state for o in self.model.trainer.optimizers]
        states = [v for state in optimizers for s in state.values() for v in s.values()]
        return [*self.model.state_dict(keep_vars=True).values(), *self.model.buffers(), *states]

    def record(self, step: Callable[[], None], first: bool) -> Callable[[], None]:
        assert first == (not self.captured.recorded)
        self.firsts.append(first)
        tensors = self.state()
        before, random = [t.detach().clone() for t in tensors], torch.get_rng_state()
        recorded = Operations()
        for optimizer in self.model.trainer.optimizers:  # the groups that a step reads
            assert all(isinstance(group["lr"], Tensor) for group in optimizer.param_groups)
            assert all(group["capturable"] for group in optimizer.param_groups)
        with recorded:
            step()
        with torch.no_grad():
            for tensor, value in zip(tensors, before, strict=True):
                tensor.copy_(value)
        torch.set_rng_state(random)

        def replay() -> None:
            self.replays += 1
            captured = self.captured
            # The host as it was when the step was recorded: this update isn't counted yet.
            host = self.model.trainer.global_step
            captured.count(-1)
            self.model._stepped.clear()
            holders: list[Any] = [self.model, *self.model.parts()]
            observed = [holder.observed for holder in holders]
            for holder in holders:
                holder.observed = {}
            again = Operations()
            with captured._held(capturing=True), again:
                step()
            for holder, values in zip(holders, observed, strict=True):
                holder.observed = values
            captured.count(host - self.model.trainer.global_step)
            assert again.ran == recorded.ran, "a replay would do something else"

        return replay


class Bound(CapturedStep):
    """Tells its stand-in whose steps it records."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.recorder.captured = self  # type: ignore[attr-defined]


def replay_on_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the loops of benchmarks replayed by stand-ins."""
    monkeypatch.setattr(replayed, "CapturedStep", Bound)
    monkeypatch.setattr(replayed, "CUDARecorder", StandIn)


class Recorded(StepGraph):
    """Steps on the CPU, recorded by a stand-in."""

    def __init__(self) -> None:
        super().__init__(True)

    @staticmethod
    def possible(device: torch.device) -> bool:
        return True

    def reason(self, trainer: Any, module: GANModule) -> str | None:
        self.stand_in = StandIn()
        return None

    def recorder(self) -> Any:
        return self.stand_in

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        super().on_train_start(trainer, pl_module)
        self.captured: Any = pl_module.training_step
        self.captured.recorder.captured = self.captured

    def teardown(self, trainer: Any, pl_module: Any, stage: str) -> None:
        self.kinds = dict(self.captured.kinds)  # before they are dropped
        super().teardown(trainer, pl_module, stage)


def train(
    name: str, count: int, *callbacks: Callback, **options: Any
) -> tuple[dict[str, Tensor], list[Any], GANModule]:
    """Train, and return all that the model is made of, what was logged, and the model."""
    variant, chosen = OPTIONS[name][0], deepcopy(OPTIONS[name][1])
    fused = {"generator_optimizer": FUSED, "discriminator_optimizer": FUSED}
    model = make_model(variant, **(fused | chosen), ema_half_life_images=30)
    logger = RecordingLogger()
    data = (
        TinyImages()
        if "asked_classes" in chosen
        else make_batches(4, size=chosen.get("image_size", 4))
    )
    limits = {"max_epochs": -1, "max_steps": count, "log_every_n_steps": 6}
    fit(model, data, callbacks, logger=logger, **(limits | options))
    timeless = [
        (step, {n: v for n, v in values.items() if not n.startswith("time/")})
        for step, values in logger.records
    ]
    return copied(model), timeless, model


@pytest.mark.parametrize(
    ("name", "count"),
    [("GAN", 36), *((name, 24) for name in ("several", "penalties", "ACGAN with parts", "R3GAN"))],
)
def test_recorded_steps_are_those_of_a_training_without(name: str, count: int) -> None:
    """To the bit: weights, averages, parts' memory, random numbers, and what is logged."""
    graph = Recorded()
    weights, logged, model = train(name, count, graph)
    wanted, wanted_logged, _ = train(name, count)
    assert [n for n in wanted if not torch.equal(weights[n], wanted[n])] == []
    assert logged == wanted_logged
    assert model.trainer.global_step == count
    assert graph.stand_in.replays > count / 2
    assert graph.stand_in.replays + graph.stand_in.warmed == count
    assert "training_step" not in vars(model)


def test_what_callbacks_observe_is_recorded_too() -> None:
    graph = Recorded()
    weights, logged, model = train("GAN", 36, graph, Diagnosis())
    wanted, wanted_logged, _ = train("GAN", 36, Diagnosis())
    assert equal(weights, wanted)
    assert logged == wanted_logged
    assert all("samples/pairwise_distance" in values for _, values in logged)
    assert graph.stand_in.replays > 18
    assert not model.observers, "they end with the training"
    assert getfullargspec(graph.captured).args == ["self", "batch", "batch_idx"], "to Lightning"


def test_an_observer_that_comes_late_is_another_kind() -> None:
    def observe(model: GANModule) -> None:
        if model.trainer.global_step == 26:  # the logged steps are captured by then
            model.observers["samples/bias"] = lambda: model.sample(*model.grid(2, 2)).mean()

    graph = Recorded()
    _, logged, _ = train("GAN", 36, graph, AfterBatch(observe))
    _, wanted, _ = train("GAN", 36, AfterBatch(observe))
    assert logged == wanted
    assert ["samples/bias" in values for _, values in logged] == [False] * 4 + [True] * 2
    assert graph.captured.captures == 2


def test_another_observer_of_the_same_name_is_another_kind() -> None:
    """The recording has the first one's tensors, which may be gone."""

    def observe(model: GANModule) -> None:
        if model.trainer.global_step in (1, 26):
            bias = torch.tensor(float(model.trainer.global_step))
            model.observers["samples/bias"] = lambda: bias + 1

    graph = Recorded()
    _, logged, _ = train("GAN", 36, graph, AfterBatch(observe))
    assert [values["samples/bias"] for _, values in logged] == [2.0] * 4 + [27.0] * 2
    assert len(graph.kinds) == 3, "without it, with the first one, with the second one"


@pytest.mark.parametrize("fails", [False, True])
def test_recordings_end_with_the_training(fails: bool) -> None:
    """Or they would keep their memory, and could be destroyed within another capture."""

    def fail(model: GANModule) -> None:
        if fails and model.trainer.global_step == 20:
            raise RuntimeError("stopped")

    graph = Recorded()
    models: list[GANModule] = []
    with nullcontext() if not fails else pytest.raises(RuntimeError, match="stopped"):
        train("GAN", 24, graph, AfterBatch(models.append), AfterBatch(fail))
    optimizers = models[0].trainer.optimizers
    assert "training_step" not in vars(models[0])
    assert len(graph.kinds) == 2
    assert graph.captured.kinds == {}
    assert [len(o._optimizer_load_state_dict_post_hooks) for o in optimizers] == [0, 0]


def test_too_many_recordings_are_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them: none may be destroyed beside others."""
    monkeypatch.setattr(captured, "MOST_RECORDED", 2)
    graph = Recorded()
    weights, logged, _ = train("several", 30, graph)
    wanted, wanted_logged, _ = train("several", 30)
    assert equal(weights, wanted)
    assert logged == wanted_logged
    assert graph.stand_in.firsts[:3] == [True, False, True]


def test_what_was_warmed_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """A share that moves with each step makes kinds without end."""
    monkeypatch.setattr(captured, "MOST_UNKNOWN", 4)
    monkeypatch.setattr(captured, "MOST_RECORDED", 4)
    game = TopK(CrossEntropy(), LinearSchedule(1.0, 0.5, 10_000))
    monkeypatch.setitem(OPTIONS, "chosen", (GAN, {"game": game}))
    graph = Recorded()
    train("chosen", 30, graph)
    assert graph.captured.captures == 0
    assert max(len(graph.captured.warmed), len(graph.kinds)) < 12


def test_nothing_is_collected_in_a_capture() -> None:
    with captured.uncollected():
        assert not gc.isenabled()
        with captured.uncollected():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()


def test_each_kind_is_captured_once() -> None:
    graph = Recorded()
    train("several", 30, graph)
    kinds = graph.kinds
    # The generator's turn or not, and logged, which falls on the latter here.
    turns = [(False, False, True), (False, True, False), (True, False, True)]
    assert sorted(key.apart[0][:3] for key in kinds) == turns
    assert graph.captured.captures == 3
    assert graph.stand_in.firsts == [True, False, False]
    assert all(kind.steps == WARM and kind.counted == 1 for kind in kinds.values())


def replayed_and_not(
    options: dict[str, Any], count: int, monkeypatch: pytest.MonkeyPatch
) -> tuple[Recorded, list[str]]:
    """The recordings of a training with these options, and what differs from one without."""
    graph = Recorded()
    monkeypatch.setitem(OPTIONS, "chosen", (GAN, options))
    weights, _, _ = train("chosen", count, graph, log_every_n_steps=1000)
    wanted, _, _ = train("chosen", count, log_every_n_steps=1000)
    return graph, [name for name in wanted if not torch.equal(weights[name], wanted[name])]


def test_a_lazy_penalty_is_a_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"penalty": LazyPenalty(R1(1.0), 4)}
    graph, different = replayed_and_not(options, 24, monkeypatch)
    assert graph.captured.captures == 2
    assert different == []


def test_a_turn_of_several_updates(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three kinds: behind the last of the discriminator's updates the generator learns."""
    graph, different = replayed_and_not({"discriminator_steps": 3}, 24, monkeypatch)
    assert graph.captured.captures == 3
    assert different == []


def test_scheduled_betas_are_no_kind_until_they_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(captured, "MOST_UNKNOWN", 8)
    beta = OptimizerSchedule(beta2=LinearSchedule(0.5, 0.9, 160))
    graph, different = replayed_and_not({"discriminator_schedule": beta}, 40, monkeypatch)
    assert graph.captured.captures == 1
    assert graph.stand_in.replays == 40 - 20
    assert caplog.text.count("so far: each step has other numbers") == 1
    assert different == []


def test_scheduled_betas_that_hold_for_some_steps_are_captured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each at its second step; recordings with earlier ones are dropped."""
    # By 0.0025 a step, in hundredths: four steps each, but two of the first.
    beta = OptimizerSchedule(beta2=LinearSchedule(0.5, 0.6, 320))
    graph, different = replayed_and_not({"discriminator_schedule": beta}, 28, monkeypatch)
    assert different == []
    assert graph.captured.captures == 7
    assert len(graph.kinds) == 1
    assert graph.stand_in.warmed == 2 + 7
    assert graph.stand_in.firsts == [True] * 7, "earlier ones are dropped before"


def test_it_goes_on_exactly_and_checkpoints_are_those_without(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"

    def keep(model: GANModule) -> None:
        if model.trainer.global_step == 20:
            model.trainer.save_checkpoint(path)

    train("GAN", 20, Recorded(), AfterBatch(keep))
    saved = torch.load(path, weights_only=False)
    for state in saved["optimizer_states"]:
        assert not isinstance(state["param_groups"][0]["lr"], Tensor)
        assert not state["param_groups"][0]["capturable"]
    resumed, _, model = train("GAN", 30, Recorded(), checkpoint=path)
    wanted, _, _ = train("GAN", 30)
    assert model.images_seen == 240
    assert [n for n in wanted if not torch.equal(resumed[n], wanted[n])] == []


def test_loaded_states_of_optimizers_are_captured_anew() -> None:
    def load(model: GANModule) -> None:
        if model.trainer.global_step == 15:
            for optimizer in model.trainer.optimizers:
                optimizer.load_state_dict(optimizer.state_dict())

    graph = Recorded()
    weights, _, _ = train("GAN", 30, graph, AfterBatch(load), log_every_n_steps=1000)
    wanted, _, _ = train("GAN", 30, log_every_n_steps=1000)
    assert graph.captured.captures == 2
    assert [n for n in wanted if not torch.equal(weights[n], wanted[n])] == []


def test_what_cannot_be_captured_trains_on_and_is_said(capsys: Any, caplog: Any) -> None:
    class Refusing(StandIn):
        def record(self, step: Callable[[], None], first: bool) -> Callable[[], None]:
            step_of = self.model.trainer.optimizers
            assert step_of[0].param_groups[0]["capturable"]
            self.captured.count(1)  # as if it failed behind the discriminator's update
            raise RuntimeError("operation not permitted\nwhen stream is capturing")

    class Failing(Recorded):
        def recorder(self) -> Any:
            return Refusing()

    with caplog.at_level("INFO"):
        weights, logged, model = train("GAN", 12, Failing())
    wanted, wanted_logged, _ = train("GAN", 12)
    said = "Trains without a CUDA graph: RuntimeError: operation not permitted when stream is"
    assert caplog.text.count(said) == 1
    assert [n for n in wanted if not torch.equal(weights[n], wanted[n])] == []
    assert logged == wanted_logged
    assert model.trainer.global_step == 12


def test_a_step_that_waits_for_the_device_is_not_captured(caplog: Any) -> None:
    class Waiting(StandIn):
        def warm(self, step: Callable[[], None], watch: bool) -> str | None:
            super().warm(step, watch)
            return "it waits for the device in step.py:7" if watch else None

    class Watched(Recorded):
        def recorder(self) -> Any:
            return Waiting()

    graph = Watched()
    with caplog.at_level("INFO"):
        weights, logged, _ = train("GAN", 12, graph)
    wanted, wanted_logged, _ = train("GAN", 12)
    assert caplog.text.count("without a CUDA graph: it waits for the device in step.py:7") == 1
    assert graph.captured.captures == 0
    assert graph.captured.recorder.warmed == WARM, "the first steps may wait for what is kept"
    assert [n for n in wanted if not torch.equal(weights[n], wanted[n])] == []
    assert logged == wanted_logged


class Logging(CrossEntropy):
    """Logs in the step."""

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        MODELS[-1].log("own/mean", real.mean().detach())
        return super().discriminator(real, fake)


class Replacing(CrossEntropy):
    """Has a new buffer after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        self.mean = self.mean.lerp(real.mean().detach(), 0.1)
        return super().discriminator(real, fake)


MODELS: list[GANModule] = []


@pytest.mark.parametrize(
    ("game", "why"),
    [
        (Logging, "the step logs own/mean by `log`, and not by `observed`"),
        (Replacing, "the step replaces a weight or buffer, and doesn't change it in place"),
    ],
)
def test_what_a_replay_would_leave_out_is_not_captured(
    game: type[CrossEntropy], why: str, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setitem(OPTIONS, "chosen", (GAN, {"game": game()}))
    graph = Recorded()
    note = AfterBatch(lambda model: None)
    note.on_train_start = lambda trainer, module: MODELS.append(module)  # type: ignore[method-assign, assignment]
    with caplog.at_level("INFO"):
        weights, logged, model = train("chosen", 12, graph, note)
    wanted, wanted_logged, _ = train("chosen", 12, note)
    assert caplog.text.count(f"without a CUDA graph: {why}") == 1
    assert graph.captured.captures == 0
    assert [n for n in wanted if not torch.equal(weights[n], wanted[n])] == []
    assert logged == wanted_logged
    assert "log" not in vars(model)


def test_places_that_wait_are_those_of_this_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[Any] = []
    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: 0)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)

    def wait() -> None:
        warnings.warn("called a synchronizing CUDA operation (at CUDAFunctions.cpp)", stacklevel=1)

    def elsewhere() -> list[str]:
        with captured.waits() as where:
            for _ in range(2):
                wait()
            thread = threading.Thread(target=wait)
            thread.start()
            thread.join()
            warnings.warn("something else", stacklevel=1)
        return where

    with pytest.warns(UserWarning, match="something else") as others:
        where = elsewhere()
    assert len(where) == 2
    assert where[0].startswith("test_captured.py:")
    assert len(others) == 1
    assert modes == ["warn", 0]


def test_a_step_without_a_number_is_not_captured() -> None:
    class Short(GAN):
        def training_step(self, batch: Any) -> None:  # type: ignore[override]
            super().training_step(batch, 0)

    assert "Short.training_step must take" in str(StepGraph().reason(None, make_model(Short)))


def test_a_cpu_has_no_graphs_and_nothing_is_said(caplog: Any) -> None:
    steps: list[Any] = []
    with caplog.at_level("INFO"):
        train("GAN", 4, StepGraph(), AfterBatch(lambda model: steps.append(model.training_step)))
    assert "CUDA graph" not in caplog.text
    assert not any(isinstance(step, CapturedStep) for step in steps)


def test_an_older_torch_that_cannot_go_on_names_the_option() -> None:
    class Poisoned(StandIn):
        def record(self, step: Callable[[], None], first: bool) -> Callable[[], None]:
            raise UserError("add --graph.enabled false")

    class Failing(Recorded):
        def recorder(self) -> Any:
            return Poisoned()

    with pytest.raises(UserError, match=r"--graph\.enabled false"):
        train("GAN", 12, Failing())


class Looking(Callback):
    """Has a hook within the step."""

    def on_after_backward(self, trainer: Any, pl_module: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("callback", "optimizer", "why"),
    [
        (None, FUSED, None),
        (Looking(), FUSED, "Looking.on_after_backward has to run in each step"),
        (None, partial(torch.optim.Adam, lr=0.1), "Adam isn't fused"),
        (None, partial(FUSED, lr=torch.tensor(0.1)), "Adam's learning rate is a tensor"),
    ],
)
def test_what_is_known_against_it(
    callback: Callback | None, optimizer: Any, why: str | None
) -> None:
    told: list[str | None] = []

    class Asked(StepGraph):
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            told.append(self.reason(trainer, pl_module))

    model = make_model(generator_optimizer=optimizer, discriminator_optimizer=FUSED)
    fit(model, make_batches(1), [Asked(), *([callback] if callback else [])])
    assert told == [None] if why is None else str(told[0]).startswith(why)
