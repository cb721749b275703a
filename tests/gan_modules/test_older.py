"""Checkpoints and configurations of versions before 0.2 go on under today's names."""

from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gan_modules import ACGAN, GAN, WGANGP, GANModule
from gan_modules.bookkeeping.older import renew, renewed, renewed_config
from gan_modules.networks import (
    ACGAN32Discriminator,
    ACGAN32Generator,
    Critic32,
    DCGAN32Generator,
    FCDiscriminator,
    FCGenerator,
)
from gan_modules.parts import (
    CrossEntropy,
    GradientPenalty,
    InstanceNoise,
    LabelFlips,
    MixedBatch,
    SoftLabels,
)
from minmax.checkpoints.reading import load_model
from tests.gan_modules.helpers import Batches, copied, equal, fit

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*LeafSpec.*", "ignore:You defined a .validation_step.", "ignore:Found .* in eval mode"
)

ADAM = partial(torch.optim.Adam, lr=0.001, betas=(0.5, 0.9))
SHARED = {
    **{"generator_optimizer": ADAM, "discriminator_optimizer": ADAM, "ema_half_life_images": 20},
    **{"channels": 1, "image_size": 32, "num_classes": 3, "latent_dim": 6},
}
TODAY: dict[str, tuple[type[GANModule], dict[str, Any]]] = {
    "GAN": (
        GAN,
        {
            "generator": partial(DCGAN32Generator, width=4),
            "discriminator": partial(Critic32, width=4),
            "game": CrossEntropy(SoftLabels((0.8, 1.2)), LabelFlips(0.25), 1.0),
            "augment": InstanceNoise(0.1, anneal_images=500),
            "batches": MixedBatch(),
        },
    ),
    "plain GAN": (GAN, {"generator": FCGenerator, "discriminator": FCDiscriminator}),
    "ACGAN": (
        ACGAN,
        {
            "generator": ACGAN32Generator,
            "discriminator": ACGAN32Discriminator,
            "fake_class_weight": 0.0,
            "game": CrossEntropy(SoftLabels((0.8, 1.2))),
        },
    ),
    "WGANGP": (
        WGANGP,
        {
            "generator": partial(DCGAN32Generator, width=4),
            "discriminator": partial(Critic32, width=4),
            "penalty": GradientPenalty(7.0),
            "discriminator_steps": 2,
            "discriminator_clip_norm": 3.0,
        },
    ),
}


def old_part(name: str, **arguments: Any) -> dict[str, Any]:
    return {"class_path": f"gan_modules.tricks.{name}", "init_args": arguments}


LOSSES = "gan_modules.losses."
NONE = {"labels": None, "label_flips": None, "instance_noise": None}
OLD_OPTIONS: dict[str, dict[str, Any]] = {
    "GAN": {
        "discriminator_loss": LOSSES + "bce_sum",
        "generator_loss": LOSSES + "non_saturating",
        "labels": old_part("SoftLabels", real_range=[0.8, 1.2], fake_range=[0.0, 0.2]),
        "label_flips": old_part("LabelFlips", probability=0.25),
        "instance_noise": old_part("InstanceNoise", std=0.1, anneal_images=500, on_real=False),
        "batches": {"class_path": "gan_modules.tricks.MixedBatch"},
    },
    "plain GAN": {
        **{"discriminator_loss": LOSSES + "bce_mean", "generator_loss": LOSSES + "non_saturating"},
        **{**NONE, "batches": None},
    },
    "ACGAN": {**NONE, "labels": old_part("SoftLabels", real_range=[0.8, 1.2])},
    "WGANGP": {"penalty_weight": 7.0},
}
"""Where they differ from today's."""


def aged(options: dict[str, Any], name: str) -> dict[str, Any]:
    """A variant's options as they were written before."""
    new = {"game", "penalty", "augment", "batches"}
    old = {key: value for key, value in options.items() if key not in new}
    if name == "WGANGP":
        del old["generator_steps"]
        old = {key.replace("discriminator", "critic"): value for key, value in old.items()}
    return old | OLD_OPTIONS[name]


class Drawn(Batches):
    def __init__(self, count: int) -> None:
        random = torch.Generator().manual_seed(4)
        super().__init__(
            [
                (torch.rand(4, 1, 32, 32, generator=random) * 2 - 1, torch.tensor([0, 1, 2, 0]))
                for _ in range(count)
            ]
        )


def build(name: str, seed: int) -> GANModule:
    torch.manual_seed(seed)
    variant, options = TODAY[name]
    return variant(**deepcopy(options), **SHARED)


def train(name: str, steps: int, checkpoint: Path | None = None) -> GANModule:
    model = build(name, 0 if checkpoint is None else 7)
    fit(model, Drawn(4), checkpoint=checkpoint, max_epochs=-1, max_steps=steps)
    return model


@pytest.fixture(scope="module", params=TODAY)
def old(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, GANModule, Path]:
    """A trained model and its checkpoint in the words of before."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PL_GLOBAL_SEED", "3")
        model = train(request.param, 2)
    path = tmp_path_factory.mktemp("old") / "old.ckpt"
    for file in (path, path.with_name("today.ckpt")):
        model.trainer.save_checkpoint(file)
    content = torch.load(path, weights_only=True)
    content["hyper_parameters"] = aged(content["hyper_parameters"], request.param)
    if request.param == "WGANGP":
        content["state_dict"] = {
            key.replace("discriminator.", "critic.", 1): value
            for key, value in content["state_dict"].items()
        }
        assert not any("discriminator" in key for key in content["state_dict"])
        assert not any("discriminator" in key for key in content["hyper_parameters"])
    torch.save(content, path)
    return request.param, model, path


def same_parts(model: GANModule, name: str) -> None:
    assert type(model) is TODAY[name][0]
    if name == "GAN":
        assert type(model.game.labels) is SoftLabels
        assert tuple(model.game.labels.real_range) == (0.8, 1.2)
        assert model.game.label_flips.probability == 0.25
        assert model.game.discriminator_weight == 1
        assert (model.augment.std, model.augment.anneal_images) == (0.1, 500)
        assert type(model.batches) is MixedBatch
    elif name == "plain GAN":
        assert model.game.discriminator_weight == 0.5
    elif name == "ACGAN":
        assert model.fake_class_weight == 0
        assert tuple(model.game.labels.real_range) == (0.8, 1.2)
    else:
        assert model.penalty.weight == 7
        assert (model.discriminator_steps, model.clip_norms) == (2, (0.0, 3.0))


@pytest.mark.parametrize("loaded_by", ["its class", "load_model"])
def test_an_old_checkpoint_loads(old: tuple[str, GANModule, Path], loaded_by: str) -> None:
    name, model, path = old
    if loaded_by == "its class":
        loaded: GANModule = type(model).load_from_checkpoint(path, weights_only=True)
    else:
        loaded, _ = load_model(path)
    same_parts(loaded, name)
    assert equal(copied(model), copied(loaded))
    latents, classes = model.seeded_latents(5), torch.tensor([0, 1, 2, 0, 1])
    images: Tensor = loaded.sample(latents, classes)
    assert images.std() > 0
    assert torch.equal(images, model.sample(latents, classes))
    for one, two in zip(model.configure_optimizers(), loaded.configure_optimizers(), strict=True):
        assert (one.defaults["lr"], one.defaults["betas"]) == (two.defaults["lr"], (0.5, 0.9))


def test_a_training_goes_on_from_an_old_checkpoint(old: tuple[str, GANModule, Path]) -> None:
    name, model, path = old
    of_old, of_today = (train(name, 4, file) for file in (path, path.with_name("today.ckpt")))
    assert of_old.images_seen == 16
    assert equal(copied(of_old), copied(of_today))
    assert not equal(copied(of_old), copied(model))


def test_an_old_configuration_is_todays(old: tuple[str, GANModule, Path]) -> None:
    """Its options are those of the renewed checkpoint; the rest of it stays as it is."""
    _, _, path = old
    options = torch.load(path, weights_only=True)["hyper_parameters"]
    class_path = options["_class_path"]
    config = {"model": {"class_path": class_path, "init_args": options}, "seed_everything": 3}
    found = renewed_config(deepcopy(config))
    assert found["seed_everything"] == 3
    assert found["model"]["class_path"] == class_path
    new = found["model"]["init_args"]
    assert not any("critic" in key for key in new)
    assert not {"labels", "label_flips", "instance_noise", "penalty_weight"} & new.keys()
    assert not {"discriminator_loss", "generator_loss"} & new.keys()
    assert "gan_modules.tricks" not in str(new)
    assert "gan_modules.losses" not in str(new)
    assert renewed(new, class_path) == new, "nothing is left to do"
    assert new["latent_dim"] == 6


def test_what_is_of_today_is_left_alone(old: tuple[str, GANModule, Path]) -> None:
    _, model, path = old
    model.trainer.save_checkpoint(path.with_name("new.ckpt"))
    content = torch.load(path.with_name("new.ckpt"), weights_only=True)
    options, names = deepcopy(content["hyper_parameters"]), list(content["state_dict"])
    assert not renew(content)
    assert content["hyper_parameters"] == options
    assert list(content["state_dict"]) == names
    for other in (None, [], {}, {"model": None}, {"model": {"class_path": "a.B"}}):
        assert renewed_config(deepcopy(other)) == other


def test_an_acgan_whose_generator_was_given_the_class_beside_the_latent(tmp_path: Path) -> None:
    """Any generator could be: those that can't any more say so in one line."""
    name = "plain GAN"
    model = train(name, 1)
    path = tmp_path / "old.ckpt"
    model.trainer.save_checkpoint(path)
    content = torch.load(path, weights_only=True)
    options = aged(content["hyper_parameters"], name)
    discriminator = {"class_path": "gan_modules.networks.ACGAN32Discriminator"}
    for gone in ("discriminator_loss", "generator_loss", "batches"):
        del options[gone]
    options |= {"_class_path": "gan_modules.ACGAN", "discriminator": discriminator}
    content["hyper_parameters"] = options | {"class_weight": 1.0, "fake_class_weight": 1.0}
    built = ACGAN(**TODAY["ACGAN"][1], **SHARED).state_dict()
    first = "layers.0.weight"
    state = {f"generator.{n}": v for n, v in FCGenerator(6 + 3, 1, 32, 3).state_dict().items()}
    assert state[f"generator.{first}"].shape[1] == 9
    state |= {n: v for n, v in built.items() if n.startswith("discriminator.")}
    content["state_dict"] = state
    torch.save(content, path)
    with pytest.raises(ValueError, match="FCGenerator draws without classes, and ACGAN") as refused:
        load_model(path)
    assert "\n" not in str(refused.value)


def test_what_a_users_own_variant_calls_so_is_left() -> None:
    """Its options and weights may have any name."""
    options = {"critic_width": 3, "labels": "mine", "batches": None, "_class_path": "mylab.GAN"}
    checkpoint = {"hyper_parameters": dict(options), "state_dict": {"critic.weight": 1}}
    assert not renew(checkpoint)
    assert checkpoint == {"hyper_parameters": options, "state_dict": {"critic.weight": 1}}
    config = {"model": {"class_path": "mylab.GAN", "init_args": {"critic_width": 3}}}
    assert renewed_config({"model": dict(config["model"])}) == config
