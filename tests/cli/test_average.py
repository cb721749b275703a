"""Averages whose width is chosen after the training."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import cli
from gan_modules import GANModule
from gan_modules.parts.average import (
    averaged_state,
    ema_copy,
    ema_update,
    power_of,
    power_share,
)
from minmax.callbacks import Averages, LastCheckpoint
from minmax.callbacks.averages import FOLDER
from minmax.checkpoints.reading import load_model
from minmax.errors import UserError
from minmax.generation.averaging import read_averages
from minmax.generation.post_hoc import Profile, factors_of, products
from tests.cli.conftest import CONFIGS
from tests.gan_modules.helpers import TinyImages, copied, equal, make_model
from tests.gan_modules.helpers import fit as fit_tiny

pytestmark = pytest.mark.filterwarnings("ignore:LightningCLI's args parameter")

KEPT = {"ema_half_life_images": [30, 90], "ema_widths": [0.1, 0.2]}
SMALL = (
    *("--model.init_args.generator", "StackedGenerator", "--data.init_args.image_size", "8"),
    *("--model.init_args.generator.init_args.width", "8", "--trainer.max_steps", "40"),
    *("--model.init_args.discriminator", "FCDiscriminator", "--averages.every_images", "128"),
    *("--pictures.every_images", "100000", "--trainer.limit_val_batches", "0"),
)


def profile_of(profile: Profile, times: np.ndarray) -> np.ndarray:
    power = power_of(profile.width)
    return np.where(
        times <= profile.images, (power + 1) * times**power / profile.images ** (power + 1), 0
    )


def test_inner_products_are_integrals() -> None:
    times = np.linspace(0, 40, 400_001)
    ones = [Profile(40, 0.05), Profile(10, 0.1)]
    others = [Profile(30, 0.1), Profile(40, 0.2)]
    expected = [
        [np.trapezoid(profile_of(one, times) * profile_of(other, times), times) for other in others]
        for one in ones
    ]
    np.testing.assert_allclose(products(ones, others), expected, rtol=2e-4)


def test_the_nearest_sum_is_found() -> None:
    """Any other sum with the same total is farther from the wanted profile."""
    kept = [Profile(images, width) for images in (10, 20, 30) for width in (0.05, 0.1)]
    wanted, times = Profile(30, 0.08), np.linspace(0, 30, 30_001)
    factors, distance = factors_of(kept, wanted)
    assert factors.sum() == pytest.approx(1, abs=1e-12)
    basis = np.array([profile_of(profile, times) for profile in kept])

    def apart(factors: np.ndarray) -> float:
        off = factors @ basis - profile_of(wanted, times)
        return np.trapezoid(off**2, times) / np.trapezoid(profile_of(wanted, times) ** 2, times)

    assert apart(factors) == pytest.approx(distance**2, rel=1e-2)
    random = np.random.default_rng(0)
    for _ in range(20):
        change = random.normal(size=6) * 0.01
        assert apart(factors + change - change.mean()) > apart(factors)


def test_an_average_afterwards_is_the_one_kept_from_the_start() -> None:
    """Of weights on a random walk, by 30 files of two widths; a kept width is found exactly."""
    torch.manual_seed(0)
    network, batches, every = nn.Linear(50, 1).double(), 600, 20
    followed = {width: ema_copy(network) for width in (0.05, 0.1, 0.07, 0.15)}
    kept: dict[Profile, Tensor] = {}
    for batch in range(1, batches + 1):
        network.weight.data += torch.randn_like(network.weight)
        for width, average in followed.items():
            share = power_share(1, batch, power_of(width))
            ema_update(average, network, torch.tensor(share, dtype=torch.float64))
            if width in (0.05, 0.1) and batch % every == 0:
                kept[Profile(batch, width)] = average.weight.detach().clone()
    for width, average in followed.items():
        factors, distance = factors_of([*kept], Profile(batches, width))
        made = sum(float(f) * weight for f, weight in zip(factors, kept.values(), strict=True))
        if width in (0.05, 0.1):
            assert distance == 0
            assert torch.equal(made, average.weight)
        else:
            assert distance < 0.02
            off = (made - average.weight).square().mean().sqrt()
            assert off < 0.01 * (network.weight - average.weight).square().mean().sqrt()


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*", "ignore:Found .* in eval", "ignore:Checkpoint")
def test_a_resumed_run_keeps_the_same_averages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And removes files from after the checkpoint, which are of another training."""
    monkeypatch.setenv("PL_GLOBAL_SEED", "3")

    def train(folder: Path, seed: int, batches: int) -> GANModule:
        model, last = make_model(seed=seed, **KEPT), folder / "checkpoints" / "last.ckpt"
        model.hparams.clear()  # Python functions, which no checkpoint of the command line holds
        options = {"max_epochs": -1, "max_steps": batches, "enable_checkpointing": True}
        callbacks = [Averages(every_images=20), LastCheckpoint()]
        resumed = last if last.is_file() else None
        fit_tiny(model, TinyImages(), callbacks, None, resumed, default_root_dir=folder, **options)
        return model

    whole = train(tmp_path / "whole", 0, 12)
    train(tmp_path / "resumed", 0, 5)
    (tmp_path / "resumed" / FOLDER / "0000000041.pt").write_text("of another training")
    resumed = train(tmp_path / "resumed", 7, 12)
    assert equal(copied(whole), copied(resumed))
    files = sorted((tmp_path / "whole" / FOLDER).iterdir())
    assert [file.name for file in files] == [f"{n:010d}.pt" for n in (24, 40, 64, 80)]
    assert {f.name for f in files} == {f.name for f in (tmp_path / "resumed" / FOLDER).iterdir()}
    for file in files:
        images, averages = read_averages(file, whole)
        again = read_averages(tmp_path / "resumed" / FOLDER / file.name, resumed)
        assert images == again[0] == int(file.stem)
        assert [*averages] == [0.1, 0.2]
        assert all(equal(averages[width], again[1][width]) for width in averages)


def test_intervals_below_one_are_refused() -> None:
    with pytest.raises(UserError, match=r"`Averages.every_images` must be at least 1, got 0"):
        Averages(every_images=0)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run of the digits that keeps averages of two widths in 20 files.

    It has a list of parts, as R3GAN's configurations have.
    """
    folder = tmp_path_factory.mktemp("average") / "kept"
    cli.main(
        [
            *("fit", "--config", str(CONFIGS / "dcgan_digits.yaml"), *SMALL),
            *("--model.init_args.ema_widths", "[0.05, 0.1]", "--trainer.accelerator", "cpu"),
            *("--quality.features", "pixels", "--trainer.default_root_dir", str(folder)),
            *("--model.init_args.penalty", "gan_modules.parts.SumOfPenalties"),
            "--model.init_args.penalty.init_args.penalties=[{class_path: gan_modules.parts.LeCam}]",
        ]
    )
    return folder


def test_the_command_writes_a_model(kept: Path, tmp_path: Path) -> None:
    run, output = kept, tmp_path / "wide.ckpt"
    for width in ("0.1", "0.07"):
        arguments = ["average", str(run), "--width", width, "--output", str(output), "--overwrite"]
        cli.main(arguments)
        before, _ = load_model(run / "checkpoints" / "last.ckpt")
        after, names = load_model(output)
        assert len(names) == 10
        made, held = (averaged_state(m) for m in (after.averages[0], before.averages[2]))
        assert any(name.endswith("running_mean") for name in made)
        same = [torch.equal(made[name], held[name]) for name in held]
        assert all(same) if width == "0.1" else not any(same)
        assert all((made[name] > 0).all() for name in held if name.endswith("running_var"))
    cli.main(["sample", "--checkpoint", str(output), "--output", str(tmp_path / "a.png")])
    config = ["--config", str(run / "config.yaml"), "--ckpt_path", str(output)]
    cli.main(["test", *config, "--quality.count", "50", "--quality.average", "1"])
    assert (tmp_path / "metrics.json").is_file()
    with pytest.raises(SystemExit, match="lacks optimizer_states, without which no training goes"):
        cli.main(["fit", *config, "--trainer.default_root_dir", str(tmp_path / "new")])


def test_one_of_several_averages_draws(kept: Path, tmp_path: Path) -> None:
    given = ["sample", "--checkpoint", str(kept / "checkpoints" / "last.ckpt")]
    drawn = []
    for number in (None, 0, 1, 2):
        output = tmp_path / f"{number}.npz"
        chosen = [] if number is None else ["--average", str(number)]
        cli.main([*given, *chosen, "--count", "4", "--output", str(output)])
        drawn.append(np.load(output)["images"])
    assert np.array_equal(drawn[0], drawn[2])
    assert not np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[3])


@pytest.mark.parametrize(
    ("run", "options", "message"),
    [
        ("kept", ["--width", "0.3"], "--width must lie between 0.001 and 0.289"),
        ("kept", ["--width", "0.28"], "--width 0.28: the run has kept 40 averages, and no sum of"),
        ("kept", ["--width", "0.1", "--output", "{tmp}/x.pt"], "x.pt must end in .ckpt"),
        (
            "kept",
            ["--width", "0.1", "--output", "{run}/checkpoints/last.ckpt", "--overwrite"],
            "last.ckpt lies among the run's own checkpoints",
        ),
        ("trained", ["--width", "0.1"], "run has kept no averages of which others can be made"),
    ],
)
def test_one_line(
    run: str, options: list[str], message: str, kept: Path, trained: Path, tmp_path: Path
) -> None:
    folder = kept if run == "kept" else trained
    places = {"tmp": tmp_path, "run": folder}
    options = [option.format_map(places) for option in options]
    if "--output" not in options:
        options += ["--output", str(tmp_path / "x.ckpt")]
    with pytest.raises(SystemExit, match=rf"^error: .*{re.escape(message)}"):
        cli.main(["average", str(folder), *options])
    assert list(tmp_path.iterdir()) == []


def test_damaged_and_foreign_files_are_refused(kept: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(kept, tmp_path / "run"))
    file = run / FOLDER / "0000000128.pt"
    arguments = ["average", str(run), "--width", "0.07", "--output", str(tmp_path / "x.ckpt")]
    whole = file.read_bytes()
    other = {"images_seen": 128, "averages": {0.1: {"weight": torch.ones(2)}}}
    for content in (whole[:1000], other):
        if isinstance(content, bytes):
            file.write_bytes(content)
        else:
            torch.save(content, file)
        with pytest.raises(SystemExit, match=r"0000000128.pt is refused: it is damaged, or of"):
            cli.main(arguments)
    file.unlink()
    cli.main(arguments)
