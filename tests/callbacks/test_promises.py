"""What a variant, network or part of the user's own must do, and is told of if it doesn't."""

import warnings
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from gan_modules import GAN, R3GAN, WGANGP, GANModule, StyleGAN2
from gan_modules.parts import ADA, R1, InOrder, LazyPenalty, Penalty, SumOfPenalties, WeightClipping
from gan_modules.parts.turn import Turn
from minmax.callbacks import Promises
from minmax.errors import UserError
from minmax.training.changes import settings
from minmax.training.parts import run_callbacks
from tests.gan_modules.helpers import (
    STEADY,
    AfterBatch,
    TinyDiscriminator,
    TinyGenerator,
    TinyImages,
    TinyStyledGenerator,
    fit,
    make_model,
)
from tests.gan_modules.test_captured import FUSED, Recorded

pytestmark = pytest.mark.filterwarnings("ignore")


class Plain(GANModule):
    """A step like that of the docs, which a case changes in one place."""

    def __init__(self, penalty: Penalty | None = None, augment: Any = None, **shared: Any) -> None:
        super().__init__(**shared)
        if penalty is not None:
            self.penalty = penalty
        if augment is not None:
            self.augment = augment

    def penalties(self, turn: Turn) -> Any:
        return self.penalty(turn) if hasattr(self, "penalty") else 0

    def optimizer_pair(self) -> Any:
        return self.both_optimizers()

    def updates(self, network: nn.Module) -> Any:
        return self.updating(network)

    def finish(self, real_logits: Tensor, fake_logits: Tensor) -> None:
        self.finish_batch(real_logits, fake_logits)

    def training_step(self, batch: Any, batch_idx: int) -> None:
        real, classes = batch
        optimizer_g, optimizer_d = self.optimizer_pair()
        latent, asked = self.sample_latent(len(real)), self.sample_labels(len(real))
        fake = self(latent, asked)
        with self.updates(self.discriminator):
            turn = self.turn(real, classes, latent, fake, asked)
            real_logits, fake_logits = turn.judge()
            loss_d = fake_logits.mean() - real_logits.mean() + self.penalties(turn)
            optimizer_d.zero_grad()
            self.manual_backward(loss_d)
            optimizer_d.step()
        with self.updates(self.generator):
            loss_g = -self.discriminator(fake, asked).mean()
            optimizer_g.zero_grad()
            self.manual_backward(loss_g)
            optimizer_g.step()
        self.finish(real_logits, fake_logits)


def trained(variant: type[GANModule] = Plain, **options: Any) -> GANModule:
    model = make_model(variant, **({"discriminator": STEADY} | options))
    fit(model, TinyImages(), [Promises()])
    return model


def refused(message: str, variant: type[GANModule] = Plain, **options: Any) -> None:
    with pytest.raises(UserError, match=message):
        trained(variant, **options)


@pytest.mark.parametrize(
    ("variant", "options"),
    [
        (Plain, {}),
        (GAN, {"penalty": SumOfPenalties([LazyPenalty(R1(1.0), 3), WeightClipping(0.1)])}),
        (GAN, {"augment": ADA(), "generator_steps": 2}),
        (WGANGP, {"discriminator_steps": 3}),
        (R3GAN, {}),
        (StyleGAN2, {"generator": TinyStyledGenerator, "discriminator_steps": 2}),
    ],
)
def test_the_projects_own_keep_all(variant: type[GANModule], options: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "(?s).*(no gradient|no checkpoint)")
        trained(variant, **options)


class Encoded(Plain):
    """Has a third network, in the generator's optimizer."""

    def __init__(self, **shared: Any) -> None:
        super().__init__(**shared)
        self.encoder = nn.Linear(1, 1)

    def configure_optimizers(self) -> Any:
        optimizers: Any = super().configure_optimizers()
        optimizers[0].add_param_group({"params": list(self.encoder.parameters())})
        return optimizers


class WithEncoder(Encoded):
    """Trains it, too."""

    def updates(self, network: nn.Module) -> Any:
        both = network is self.generator
        return self.updating(network, self.encoder) if both else self.updating(network)

    def forward(self, latent: Tensor, classes: Tensor) -> Tensor:
        return super().forward(latent, classes) * self.encoder(torch.ones(1))


def test_a_third_network_is_trained_or_named() -> None:
    with pytest.warns(UserWarning, match=r"encoder.weight had no gradient .*`self.updating`"):
        trained(Encoded)
    before = make_model(WithEncoder).encoder.weight
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*no gradient")
        assert not torch.equal(trained(WithEncoder).encoder.weight, before)

    class Without(Encoded):
        def configure_optimizers(self) -> Any:
            return GANModule.configure_optimizers(self)

    refused("encoder.weight is in no optimizer", Without)


class Wanting(Penalty):
    """A penalty of which a case breaks something."""

    def __init__(self, result: Any = None) -> None:
        super().__init__()
        self.result = result

    def forward(self, turn: Turn) -> Any:
        return self.result


class Counting(Wanting):
    """Remembers in an attribute."""

    count = 0

    def forward(self, turn: Turn) -> Tensor:
        self.count = self.count + 1
        return torch.zeros(())


def test_parts() -> None:
    refused("returned NoneType: return a tensor of one", penalty=Wanting())
    refused(r"returned \[8\]: return a tensor of one", penalty=Wanting(torch.zeros(8)))
    refused(r"returned 2 without a gradient.*create_graph", penalty=Wanting(torch.tensor(2.0)))
    refused("`penalty` LazyPenalty needs `lazy`", penalty=LazyPenalty(R1(1.0)))
    refused("needs `after`", penalty=SumOfPenalties([WeightClipping(0.1)]))
    refused("`augment` ADA needs `adapt`", augment=InOrder([ADA()]))
    learned = Wanting(torch.zeros(()))
    learned.weight = nn.Parameter(torch.ones(()))
    refused("penalty.weight is in no optimizer", penalty=learned)
    with pytest.warns(UserWarning, match="penalty.count changes .* no checkpoint holds it"):
        trained(penalty=Counting())


def test_steps() -> None:
    class Unfinished(Plain):
        def finish(self, real_logits: Tensor, fake_logits: Tensor) -> None:
            pass

    class Lightnings(Plain):
        def optimizer_pair(self) -> Any:
            return self.optimizers()

    class Returns(Plain):
        def training_step(self, batch: Any, batch_idx: int) -> Any:
            return self(self.sample_latent(8), self.sample_labels(8)).mean()

    class Hooked(Plain):
        def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
            pass

    class Three(Plain):
        def configure_optimizers(self) -> Any:
            optimizers: Any = super().configure_optimizers()
            return [*optimizers, torch.optim.SGD(self.generator.parameters(), lr=0.1)]

    refused("Unfinished.training_step must end with `self.finish_batch", Unfinished)
    refused("made 2 counted steps .*`self.both_optimizers", Lightnings)
    refused("made 0 counted steps", Returns)
    refused("Hooked doesn't count its images.*`super", Hooked)
    model = make_model(Three)
    trainer: Any = fit(make_model(), TinyImages())
    optimizers: list[Optimizer] = model.configure_optimizers()
    trainer.strategy.optimizers = optimizers
    with pytest.raises(UserError, match="has 3 optimizers"):
        settings({}, trainer)


def test_networks() -> None:
    class Larger(TinyGenerator):
        def forward(self, latent: Tensor, classes: Tensor) -> Tensor:
            return super().forward(latent, classes).repeat(1, 1, 2, 2)

    class Column(TinyDiscriminator):
        def forward(self, images: Tensor, classes: Tensor) -> Tensor:
            return super().forward(images, classes)[:, None]

    wanted = r"Larger returned \[8, 1, 8, 8\]: return images \[N, 1, 4, 4\]"
    refused(wanted, generator=Larger)
    refused(r"Column returned \[8, 1\]: return one logit", discriminator=Column)


class ByKeyword(Plain):
    """Names arguments, and drops gradients after its steps."""

    def training_step(self, batch: Any, batch_idx: int) -> None:
        forward = self.generator.forward
        super().training_step(batch, batch_idx)
        for optimizer in self.optimizers():
            optimizer.zero_grad()
        self.generator(latent=self.sample_latent(2), classes=self.sample_labels(2))
        assert self.generator.forward == forward
        self.penalty.after(discriminator=self.discriminator)


def test_arguments_by_keyword_and_gradients_that_are_dropped() -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", ".*no gradient")
        trained(ByKeyword, penalty=WeightClipping(1.0))


def test_networks_and_penalties_are_watched_in_the_first_batch_alone() -> None:
    """The question whether a term is 0 waits for the device, which no captured step may."""
    watched: list[int] = []

    def count(model: GANModule) -> None:
        watched.append(sum(len(part._forward_hooks) for part in model.modules()))

    model = make_model(WGANGP, discriminator=STEADY, discriminator_steps=3)
    fit(model, TinyImages(), [AfterBatch(count), Promises()])
    assert watched == [3, 0, 0, 0]


def test_every_run_is_watched() -> None:
    assert any(isinstance(callback, Promises) for callback in run_callbacks())


def test_steps_are_recorded_beside_it() -> None:
    fused = {"generator_optimizer": FUSED, "discriminator_optimizer": FUSED}
    model = make_model(WGANGP, discriminator=STEADY, discriminator_steps=3, **fused)
    graph = Recorded()
    fit(model, TinyImages(), [graph, Promises()], max_epochs=6)
    assert graph.stand_in.replays > 0


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_watched_after_a_training_that_ended_in_its_first_turn(fails: bool) -> None:
    model = make_model(WGANGP, discriminator=STEADY, penalty=SumOfPenalties([WeightClipping(0.1)]))

    def fail(model: GANModule) -> None:
        if fails:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) if fails else nullcontext():
        fit(model, TinyImages(), [AfterBatch(fail), Promises()], max_epochs=-1, max_steps=2)
    assert not any(part._forward_hooks for part in model.modules())
    assert "after" not in vars(model.penalty.penalties[0])
