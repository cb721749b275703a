"""Models out of checkpoints that the command line made, and what is no such checkpoint."""

import contextlib
import pickle
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import Trainer
from torch import Tensor

import cli
from datamodules import Digits
from gan_modules import ACGAN, GAN, WGANGP, GANModule
from gan_modules.bookkeeping.described import described
from gan_modules.networks import (
    ACGAN32Discriminator,
    ACGAN32Generator,
    Critic32,
    DCGAN32Discriminator,
    DCGAN32Generator,
)
from gan_modules.parts import CrossEntropy, HardLabels, InOrder, InstanceNoise, SoftLabels
from minmax.checkpoints.reading import load_model, read_checkpoint
from tests.gan_modules.helpers import copied, equal, fast_adam

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec.*", "ignore:.*does not have many")

NETWORKS = "gan_modules.networks."
OPTIONS = {
    GAN: [
        f"generator={NETWORKS}DCGAN32Generator",
        "generator.init_args.width=4",
        f"discriminator={NETWORKS}DCGAN32Discriminator",
        "discriminator.init_args.width=4",
        "discriminator_optimizer=torch.optim.Adam",
        "game=gan_modules.parts.CrossEntropy",
        "game.init_args.labels=gan_modules.parts.SoftLabels",
        "augment=gan_modules.parts.InstanceNoise",
        "augment.init_args.std=0.1",
        "ema_half_life_images=50",
    ],
    ACGAN: [
        f"generator={NETWORKS}ACGAN32Generator",
        f"discriminator={NETWORKS}ACGAN32Discriminator",
        "discriminator_optimizer=torch.optim.Adam",
    ],
    WGANGP: [
        f"generator={NETWORKS}DCGAN32Generator",
        "generator.init_args.width=4",
        f"discriminator={NETWORKS}Critic32",
        "discriminator.init_args.width=4",
        "discriminator_optimizer=torch.optim.Adam",
        "discriminator_steps=2",
    ],
}


def narrow_generator(*shape: int) -> DCGAN32Generator:
    return DCGAN32Generator(*shape, width=4)


def unannotated(*shape):  # what the command line takes for no network's builder
    return DCGAN32Generator(*shape)


BUILDERS: dict[type[GANModule], dict[str, Any]] = {
    GAN: {
        "generator": narrow_generator,
        "discriminator": lambda *shape: DCGAN32Discriminator(*shape, width=4),
        "discriminator_optimizer": fast_adam,
        "ema_half_life_images": 50,
    },
    ACGAN: {
        "generator": ACGAN32Generator,
        "discriminator": ACGAN32Discriminator,
        "discriminator_optimizer": fast_adam,
    },
    WGANGP: {
        "generator": narrow_generator,
        "discriminator": lambda *shape: Critic32(*shape, width=4),
        "discriminator_optimizer": fast_adam,
    },
}


def run(folder: Path, variant: type[GANModule]) -> Path:
    """Train two batches through the command line; the checkpoint of it."""
    options = ["latent_dim=6", "generator_optimizer=torch.optim.Adam", *OPTIONS[variant]]
    trainer = {
        "accelerator": "cpu",
        "max_epochs": -1,
        "max_steps": 2,
        "limit_val_batches": 0,
        "enable_model_summary": "false",
        "default_root_dir": folder,
    }
    cli.main(
        [
            "fit",
            "--seed_everything=1",
            f"--model=gan_modules.{variant.__name__}",
            *(f"--model.init_args.{option}" for option in options),
            "--progress.refresh_rate=0",
            "--data=datamodules.Digits",
            "--data.init_args.batch_size=16",
            "--data.init_args.classes=[3, 7, 8]",
            *(f"--trainer.{name}={value}" for name, value in trainer.items()),
        ]
    )
    return folder / "checkpoints" / "last.ckpt"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[type], Path]]:
    """The path of a variant's checkpoint; each is made once."""
    paths: dict[type[GANModule], Path] = {}

    def path_of(variant: type[GANModule]) -> Path:
        if variant not in paths:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("PL_GLOBAL_SEED", "0")  # seed_everything replaces it
                patch.setenv("MINMAX_TRACEBACK", "1")
                patch.setattr(sys, "argv", ["cli.py"])
                paths[variant] = run(tmp_path_factory.mktemp(variant.__name__), variant)
        return paths[variant]

    return path_of


@pytest.mark.parametrize("variant", [GAN, ACGAN, WGANGP])
def test_a_trained_model_loads_and_draws_the_same_images(
    checkpoint: Callable[[type], Path], variant: type[GANModule]
) -> None:
    path = checkpoint(variant)
    content = torch.load(path, weights_only=True)
    assert content["images_seen"] == 32
    model, class_names = load_model(path)
    assert type(model) is variant
    assert class_names == ["3", "7", "8"]
    assert (model.latent_dim, model.num_classes, model.images_seen) == (6, 3, 32)
    assert not any(module.training for module in model.modules())
    assert equal(copied(model), content["state_dict"])

    built = variant(
        generator_optimizer=fast_adam,
        channels=1,
        image_size=32,
        num_classes=3,
        latent_dim=6,
        **BUILDERS[variant],
    )
    untrained = copied(built)
    built.load_state_dict(content["state_dict"])
    assert not equal(untrained, copied(built))
    latent, labels = torch.randn(5, 6), torch.tensor([0, 1, 2, 0, 1])
    expected: Tensor = built.sample(latent, labels)
    assert expected.std() > 0
    assert torch.equal(model.sample(latent, labels), expected)
    assert (model.generator_ema is not None) == (variant is GAN)


def test_options_of_the_command_line_reach_the_loaded_model(
    checkpoint: Callable[[type], Path],
) -> None:
    model, _ = load_model(checkpoint(GAN))
    assert isinstance(model, GAN)
    assert isinstance(model.augment, InstanceNoise)
    assert model.augment.std == 0.1
    assert isinstance(model.game, CrossEntropy)
    assert type(model.game.labels) is SoftLabels
    assert model.discriminator.layers[0].out_channels == 4
    assert model.ema_half_life_images == 50
    wgan_gp, _ = load_model(checkpoint(WGANGP))
    assert (wgan_gp.discriminator_steps, wgan_gp.penalty.weight) == (2, 10.0)


class Touch:
    """When unpickled it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


def test_the_trap_works(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Touch(tmp_path / "trap"))).close()
    assert (tmp_path / "trap").exists()


@pytest.mark.parametrize("form", ["checkpoint", "old checkpoint", "pickle"])
@pytest.mark.parametrize("read", [read_checkpoint, load_model])
def test_code_in_a_checkpoint_is_refused_and_not_run(
    checkpoint: Callable[[type], Path], tmp_path: Path, form: str, read: Callable[[Path], Any]
) -> None:
    path, trap = tmp_path / "evil.ckpt", tmp_path / "trap"
    content = torch.load(checkpoint(GAN), weights_only=True) | {"more": Touch(trap)}
    if form == "pickle":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "checkpoint")
    with pytest.raises(ValueError, match=r"evil\.ckpt"):
        read(path)
    assert not trap.exists()


def doctored(path: Path, folder: Path, **changes: Any) -> Path:
    content = torch.load(path, weights_only=True)
    content["hyper_parameters"] |= changes
    torch.save(content, folder / "doctored.ckpt")
    return folder / "doctored.ckpt"


@pytest.mark.parametrize(
    "option", ["generator", "labels", "discriminator_loss", "game", "penalty", "_instantiator"]
)
def test_names_of_foreign_code_are_not_called(
    checkpoint: Callable[[type], Path], tmp_path: Path, option: str
) -> None:
    trap = tmp_path / "trap"
    call: Any = {"class_path": "logging.FileHandler", "init_args": {"filename": str(trap)}}
    path = doctored(checkpoint(GAN), tmp_path, **{option: call})
    loaded = None
    with contextlib.suppress(Exception):
        loaded = load_model(path)
    assert loaded is None
    assert not trap.exists()


@pytest.mark.parametrize("class_path", ["os.path.join", "torch.nn.Linear", "nowhere.GAN", "GAN"])
def test_a_variant_that_is_none_is_refused(
    checkpoint: Callable[[type], Path], tmp_path: Path, class_path: str
) -> None:
    with pytest.raises(ValueError, match=r"holds a|is no part of a GAN"):
        load_model(doctored(checkpoint(GAN), tmp_path, _class_path=class_path))


@pytest.mark.parametrize(
    "changes",
    [
        {"generator": "nowhere.Generator"},
        {"_class_path": "gan_modules.ACGAN"},
        {"latent_dim": 5},
    ],
)
def test_a_model_that_cannot_be_built_is_refused(
    checkpoint: Callable[[type], Path], tmp_path: Path, changes: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"doctored\.ckpt"):
        load_model(doctored(checkpoint(GAN), tmp_path, **changes))


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99, 0.9999])
def test_a_truncated_checkpoint_is_refused(
    checkpoint: Callable[[type], Path], tmp_path: Path, share: float
) -> None:
    content = checkpoint(GAN).read_bytes()
    path = tmp_path / "part.ckpt"
    path.write_bytes(content[: int(share * len(content))])
    for read in (read_checkpoint, load_model):
        with pytest.raises(ValueError, match=r"part\.ckpt"):
            read(path)


@pytest.mark.parametrize("content", [b"\x00" * 100, b"a text\n", b"\x80\x02garbage."])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.ckpt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"other\.ckpt"):
        load_model(path)


@pytest.mark.parametrize("content", [{"state_dict": {}}, [1, 2], torch.zeros(2)])
def test_other_projects_checkpoints_are_refused(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "other.ckpt")
    for read in (read_checkpoint, load_model):
        with pytest.raises(ValueError, match=r"other\.ckpt"):
            read(tmp_path / "other.ckpt")


def test_a_model_built_in_python_names_no_variant(tmp_path: Path) -> None:
    torch.save(
        {"images_seen": 3, "state_dict": {}, "hyper_parameters": {"latent_dim": 3}},
        tmp_path / "a.ckpt",
    )
    with pytest.raises(ValueError, match="which variant"):
        load_model(tmp_path / "a.ckpt")


@pytest.mark.filterwarnings("ignore:Attribute .* removed from hparams")
class TestBuiltInPython:
    """Without the command line, with Lightning's own checkpoint, which holds no pickles."""

    ADAM = partial(torch.optim.Adam, lr=np.float64(0.001), betas=(0.5, 0.9))

    def train(self, folder: Path, steps: int, checkpoint: Path | None = None, **parts: Any) -> Path:
        parts = {"generator": DCGAN32Generator, "discriminator_optimizer": self.ADAM} | parts
        model = GAN(
            discriminator=partial(DCGAN32Discriminator, width=4),
            generator_optimizer=fast_adam,
            **{"channels": 1, "image_size": 32, "num_classes": 10, "latent_dim": 6},
            **parts,
        )
        quiet = {"enable_progress_bar": False, "limit_val_batches": 0, "default_root_dir": folder}
        trainer = Trainer(accelerator="cpu", logger=False, max_steps=steps, **quiet)
        trainer.fit(model, Digits(batch_size=16), ckpt_path=checkpoint)
        return Path(trainer.checkpoint_callback.best_model_path)

    def test_what_can_be_imported(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MINMAX_TRUST", "tests")  # where the networks are
        parts = {
            "game": CrossEntropy(SoftLabels((0.9, 1.1)), discriminator_weight=1.0),
            "augment": InOrder([InstanceNoise(0.1), InstanceNoise(0.2, on_real=True)]),
        }
        path = self.train(tmp_path, 1, **parts)
        held = torch.load(path, weights_only=True)
        assert held["hyper_parameters"]["discriminator_optimizer"] == {
            "class_path": "torch.optim.Adam",
            "init_args": {"lr": 0.001, "betas": [0.5, 0.9]},
        }
        for model in (GAN.load_from_checkpoint(path), load_model(path)[0]):
            assert equal(copied(model), held["state_dict"])
            assert (model.game.labels.real_range, model.latent_dim) == ((0.9, 1.1), 6)
            assert model.game.discriminator_weight == 1
            assert [noise.std for noise in model.augment.changes] == [0.1, 0.2]
        (optimizer_g, optimizer_d) = model.configure_optimizers()
        assert optimizer_d.defaults["betas"] == (0.5, 0.9)
        assert optimizer_g.defaults["lr"] == 0.01
        again = self.train(tmp_path, 2, path, **parts)
        assert torch.load(again, weights_only=True)["images_seen"] == 32

    def test_what_cannot(self, tmp_path: Path) -> None:
        """A training goes on all the same; who loads the model must give them again."""

        class Shifted(SoftLabels):
            """Can't be imported; nor could an object that hides its arguments be made again."""

        class Local(InstanceNoise):
            """Nor can this."""

        parts = {
            "generator": lambda *shape: DCGAN32Generator(*shape),
            "game": CrossEntropy(Shifted()),
            "augment": Local(),
        }
        path = self.train(tmp_path, 1, **parts)
        again = self.train(tmp_path, 2, path, **parts)
        assert torch.load(again, weights_only=True)["images_seen"] == 32
        missing = r"load_from_checkpoint\(path, game=..., augment=..., generator=...\)"
        with pytest.raises(ValueError, match=missing):
            GAN.load_from_checkpoint(path)
        with pytest.raises(ValueError, match=missing):
            load_model(path)
        loaded = GAN.load_from_checkpoint(path, **parts)
        assert loaded.game is parts["game"]
        assert loaded.augment is parts["augment"]


@pytest.mark.parametrize(
    "value", [object(), lambda: None, unannotated, partial(print, 1), HardLabels, 3, {"a": ()}]
)
def test_descriptions(value: Any) -> None:
    """Values have one, or are refused by name; none is made up."""
    expected = {3: 3, HardLabels: {"class_path": "gan_modules.parts.HardLabels"}}
    if isinstance(value, dict):
        assert described(value) == {"a": []}
    elif value in expected:
        assert described(value) == expected[value]
    else:
        with pytest.raises(ValueError, match=r"import|class with|returns|argument|object"):
            described(value)


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    for read in (read_checkpoint, load_model):
        for path in (tmp_path / "none.ckpt", tmp_path):
            with pytest.raises(FileNotFoundError, match=path.name):
                read(path)
