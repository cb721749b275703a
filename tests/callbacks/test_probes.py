"""What is measured in validations, and when."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from gan_modules.networks.spectral import SpectralLinear
from gan_modules.parts import Augment, InOrder, InstanceNoise
from minmax.callbacks import Diagnosis, Probes
from minmax.probes.stale import stalest
from minmax.scalars import read_scalars
from tests.gan_modules.helpers import (
    TinyDiscriminator,
    TinyGenerator,
    TinyImages,
    copied,
    equal,
    fit,
    make_batches,
    make_model,
    make_trainer,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*", "ignore:Found .* in eval mode")

ALWAYS = {"logits/train", "logits/held_out", "overfitting/held_out"}


class Brighter(Augment):
    def forward(self, images: Tensor) -> Tensor:
        return images + torch.rand(len(images), 1, 1, 1)


class Normed(TinyDiscriminator):
    def __init__(self, channels: int, image_size: int, num_classes: int) -> None:
        super().__init__(channels, image_size, num_classes)
        self.layers[1] = SpectralLinear(channels * image_size**2, 8)


class NormedGenerator(TinyGenerator):
    def __init__(self, latent_dim: int, channels: int, image_size: int, num_classes: int) -> None:
        super().__init__(latent_dim, channels, image_size, num_classes)
        self.layers[0] = SpectralLinear(latent_dim, 8)


def measured(folder: Path, **options: Any) -> dict[str, tuple[list[int], list[float]]]:
    """What a run of two epochs logs in its validations."""
    logger = TensorBoardLogger(folder, name="", version="")
    model = make_model(**options)
    fit(model, TinyImages(), [Probes()], logger, max_epochs=2, limit_val_batches=1.0)
    logger.finalize("success")
    logged = read_scalars(folder)
    return {name: curve for name, curve in logged.items() if curve[0] == [32, 64]}


@pytest.mark.parametrize(
    ("more", "options"),
    [
        (set(), {}),
        (set(), {"augment": InOrder([InstanceNoise(0.1)])}),
        ({"leak/squares", "leak/borders", "leak/brightness"}, {"augment": InOrder([Brighter()])}),
        ({"spectral/discriminator"}, {"discriminator": Normed}),
        ({"spectral/generator"}, {"generator": NormedGenerator}),
    ],
)
def test_what_is_measured(more: set[str], options: dict[str, Any], tmp_path: Path) -> None:
    found = measured(tmp_path, **options)
    maybe = {"leak/turns", "epoch"}
    assert found.keys() - maybe == ALWAYS | more


def test_the_norms_of_the_network_that_draws() -> None:
    """The average has weights of its own."""
    model = make_model(generator=NormedGenerator, ema_half_life_images=8)
    trainer = fit(model, TinyImages(), [Probes()], limit_val_batches=1.0)
    found = float(trainer.callback_metrics["spectral/generator"])
    assert found == pytest.approx(stalest(model.generator_ema))
    assert found != pytest.approx(stalest(model.generator), rel=1e-4)


def test_training_is_left_alone() -> None:
    ends = []
    for callbacks in ([], [Probes()]):
        model = make_model(discriminator=Normed, augment=Brighter(), ema_half_life_images=30)
        fit(model, TinyImages(), callbacks, max_epochs=3, limit_val_batches=1.0)
        ends.append(copied(model))
    assert equal(*ends)


def test_data_without_a_module_are_not_measured() -> None:
    trainer = make_trainer(None, [Probes()], limit_val_batches=1.0)
    trainer.fit(make_model(), make_batches(2), make_batches(1))
    assert trainer.callback_metrics.keys().isdisjoint(ALWAYS)


def test_a_stale_norm_is_said_by_the_diagnosis(tmp_path: Path) -> None:
    diagnosis = Diagnosis()
    model = make_model(discriminator=Normed)
    model.discriminator.layers[1].eval()  # it is never iterated
    options = {"limit_val_batches": 1.0, "max_epochs": 3}
    fit(model, TinyImages(), [Probes(), diagnosis], **options)
    assert "spectral_norm_stale" in diagnosis.diary.current
