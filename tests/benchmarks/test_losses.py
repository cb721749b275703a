"""Which differences between two checkouts are reported, and which are ignored."""

from pathlib import Path

import pytest
import torch
from torch import nan
from torch.utils.tensorboard import SummaryWriter

from minmax.benchmarks import losses
from minmax.benchmarks.recorded import Recorded, differences, read

VALUES = {"loss/generator": {16: 0.5, 32: nan}, "gradient_norm/discriminator": {16: 2.0}}
TENSORS = {"generator.weight": torch.ones(2), "optimizer0.3.step": torch.tensor(2.0)}
OLD = Recorded(VALUES, TENSORS)


def with_value(name: str, series: dict[int, float]) -> Recorded:
    return Recorded(VALUES | {name: series}, TENSORS)


def with_tensor(name: str, tensor: torch.Tensor) -> Recorded:
    return Recorded(VALUES, TENSORS | {name: tensor})


def write_run(run: Path, word: str) -> None:
    writer = SummaryWriter(run)
    for images in (16, 32):
        writer.add_scalar(f"loss/{word}", 1 / images, images)
        writer.add_scalar("time/images_per_second", 100, images)
    writer.close()
    (run / "checkpoints").mkdir()
    adam = {"state": {0: {"step": torch.tensor(2.0), "exp_avg": torch.zeros(2)}}}
    saved = {"state_dict": {f"{word}.weight": torch.ones(2)}, "optimizer_states": [adam]}
    saved["hyper_parameters"] = {"_class_path": "gan_modules.WGANGP"}
    torch.save(saved, run / "checkpoints" / "last.ckpt")


def test_the_same_and_what_is_new_are_no_difference() -> None:
    again = {name: tensor.clone() for name, tensor in TENSORS.items()}
    assert differences(OLD, Recorded(VALUES, again), 16) == []
    assert differences(OLD, with_value("penalty/value", {16: 1.0}), 16) == []
    assert differences(OLD, with_tensor("augment.p", torch.zeros(())), 16) == []


@pytest.mark.parametrize(
    ("series", "line"),
    [
        ({16: 0.5, 32: 0.25}, "loss/generator: from batch 2 on, by nan at most"),
        ({16: 0.5 + 2**-30, 32: nan}, "loss/generator: from batch 1 on, by 9.31e-10 at most"),
        ({16: 0.5}, "loss/generator: from batch 2 on, in when it was logged"),
        ({16: 0.5, 32: nan, 48: 1.0}, "loss/generator: from batch 3 on, in when it was logged"),
    ],
)
def test_a_logged_value_is_compared_to_the_bit(series: dict[int, float], line: str) -> None:
    new = with_value("loss/generator", series)
    assert differences(OLD, new, 16) == [line]
    assert differences(OLD, new, 16, "loss/.*") == []
    assert differences(OLD, new, 16, "loss") == [line]


@pytest.mark.parametrize(
    ("tensor", "found"),
    [
        (torch.tensor([1.0, 1 + 2**-23]), "by 1.19e-07 at most"),
        (torch.ones(2, dtype=torch.float64), "is torch.float64 [2], was torch.float32 [2]"),
        (torch.ones(2, 1), "is torch.float32 [2, 1], was torch.float32 [2]"),
    ],
)
def test_weights_are_compared_to_the_bit(tensor: torch.Tensor, found: str) -> None:
    line = f"generator: 1 tensors, the first generator.weight {found}"
    assert differences(OLD, with_tensor("generator.weight", tensor), 16) == [line]


def test_the_states_of_optimizers_are_compared() -> None:
    new = with_tensor("optimizer0.3.step", torch.tensor(3.0))
    line = "optimizer0: 1 tensors, the first optimizer0.3.step by 1 at most"
    assert differences(OLD, new, 16) == [line]


def test_what_the_new_lacks_differs() -> None:
    line = "loss/generator: missing in the new"
    assert differences(Recorded({"loss/generator": {16: 0.5}}, {}), Recorded({}, {}), 16) == [line]
    found = differences(Recorded({}, TENSORS), Recorded({}, {}), 16)
    assert found[0] == "generator: 1 tensors, the first generator.weight missing in the new"


def test_a_run_is_read_under_todays_names_and_without_its_clock(tmp_path: Path) -> None:
    write_run(tmp_path / "old", "critic")
    write_run(tmp_path / "new", "discriminator")
    old = read(tmp_path / "old")
    assert {name: list(series) for name, series in old.values.items()} == {
        "loss/discriminator": [16, 32]
    }
    assert [*old.tensors] == ["discriminator.weight", "optimizer0.0.step", "optimizer0.0.exp_avg"]
    assert differences(old, read(tmp_path / "new"), 16) == []


def test_a_config_keeps_its_size_channels_and_number_of_classes() -> None:
    photos = {"class_path": "datamodules.CIFAR10", "init_args": {"image_size": 96}}
    given = " ".join(losses.data_options(photos, Path("images")))
    assert "image_size 96" in given
    assert "grayscale false" in given
    assert ".classes" not in given
    digits = {"class_path": "datamodules.MNIST", "init_args": {"image_size": 32, "classes": [3, 5]}}
    given = " ".join(losses.data_options(digits, Path("images")))
    assert "grayscale true" in given
    assert given.endswith("classes [class_0, class_1]")


def test_the_configurations_of_both_checkouts_are_found(tmp_path: Path) -> None:
    for root, names in (("old", "ab"), ("new", "bc")):
        (tmp_path / root / "configs").mkdir(parents=True)
        for name in names:
            (tmp_path / root / "configs" / f"{name}.yaml").touch()
    assert losses.common(tmp_path / "old", tmp_path / "new") == ["b"]
    assert losses.pair("b") == ("b", "b")
    assert losses.pair("a=b,data/c") == ("a", "b,data/c")


def test_a_training_that_fails_is_a_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "a.yaml").write_text(
        "data: {class_path: datamodules.MNIST, init_args: {image_size: 32}}"
    )
    (tmp_path / "cli.py").write_text("raise SystemExit('error: no such option')")
    with pytest.raises(SystemExit, match="1"):
        losses.main([str(tmp_path), str(tmp_path)])
    shown = capsys.readouterr().out
    assert "| a | 12 | old: error: no such option<br>new: error: no such option |" in shown


def test_too_few_batches_for_a_logged_value_are_refused() -> None:
    with pytest.raises(SystemExit, match=r"--batches is 4, but .* 5 or more"):
        losses.main(["old", "new", "--batches", "4"])
