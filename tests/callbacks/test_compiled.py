"""Networks that torch compiles."""

from functools import partialmethod
from typing import Any

import pytest
import torch
from torch import nn
from torch._dynamo.exc import BackendCompilerFailed

from gan_modules import ACGAN, GANModule
from gan_modules.parts import R1, GradientPenalty, LazyPenalty, Penalty
from minmax.callbacks import Compiled
from minmax.callbacks.compiled import compiling_explained
from minmax.errors import UserError
from tests.gan_modules.helpers import (
    STEADY,
    AfterBatch,
    TinyClassifier,
    fit,
    make_batches,
    make_model,
)
from tests.gan_modules.test_captured import FUSED as FUSED_ADAM
from tests.gan_modules.test_captured import Recorded

COMPILED = [Compiled(["generator"])]
FUSED = {"generator_optimizer": FUSED_ADAM, "discriminator_optimizer": FUSED_ADAM}


@pytest.fixture(autouse=True)
def _traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's tracing and derivatives without its code generation, which takes long."""
    torch.compiler.reset()
    monkeypatch.setattr(nn.Module, "compile", partialmethod(nn.Module.compile, backend="aot_eager"))


def trained(*callbacks: Any, **options: Any) -> GANModule:
    model = make_model(**({"discriminator": STEADY} | options))
    with compiling_explained(callbacks):
        fit(model, make_batches(4), callbacks, max_epochs=2)
    return model


def compiled(model: GANModule) -> list[bool]:
    networks = model.generator, model.discriminator
    return [network._compiled_call_impl is not None for network in networks]


def test_a_training_is_that_without() -> None:
    eager, other = trained(), trained(Compiled(["generator", "discriminator"]))
    assert compiled(other) == [True, True]
    assert not any(compiled(eager))
    for name, value in eager.state_dict().items():
        torch.testing.assert_close(other.state_dict()[name], value, rtol=1e-4, atol=1e-6)


def test_networks_that_were_chosen_are_compiled_after_the_first_batch() -> None:
    found: list[list[bool]] = []
    record = AfterBatch(lambda model: found.append(compiled(model)))
    trained(record, Compiled(["discriminator"]))
    assert found == [[False, False]] + 7 * [[False, True]]


def test_steps_with_compiled_networks_are_recorded() -> None:
    graph = Recorded()
    trained(Compiled(["generator", "discriminator"]), graph, **FUSED)
    assert graph.stand_in.replays > 0


@pytest.mark.parametrize("penalty", [R1(1.0), LazyPenalty(GradientPenalty(), every=2)])
def test_what_is_differentiated_twice_is_refused(penalty: Penalty) -> None:
    with pytest.raises(UserError, match=r"`Compiled.networks`: a penalty differentiates"):
        trained(Compiled(["discriminator"]), penalty=penalty)


def test_a_network_that_is_not_called_as_a_whole_is_refused() -> None:
    called = "doesn't call the discriminator as a whole.* leave discriminator out"
    with pytest.raises(UserError, match=called):
        trained(Compiled(["discriminator"]), variant=ACGAN, discriminator=TinyClassifier)


def test_torchs_errors_become_one_line_and_a_bug_shows() -> None:
    with (
        pytest.raises(UserError, match=r"can't compile a network in it \(.*no compiler"),
        compiling_explained(COMPILED),
    ):
        raise BackendCompilerFailed(print, RuntimeError("no compiler"), None)
    for torchs in ("does not currently support double backward", "non-empty donated buffers"):
        with (
            pytest.raises(UserError, match="a penalty differentiates"),
            compiling_explained(COMPILED),
        ):
            raise RuntimeError(f"It {torchs}.")
    with pytest.raises(RuntimeError, match="a bug"), compiling_explained(COMPILED):
        raise RuntimeError("a bug")
    with pytest.raises(BackendCompilerFailed), compiling_explained([Compiled()]):
        raise BackendCompilerFailed(print, RuntimeError("the user's own"), None)
