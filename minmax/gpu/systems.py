"""The systems that are measured: each configuration as `cli.py fit` builds it."""

import argparse
import json
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from datamodules import ImageDataModule
from datamodules.loader import ResidentLoader
from gan_modules import GANModule
from minmax.files import whole
from minmax.reporting.tables import markdown
from minmax.training import command_line

CONFIGS = Path(__file__).parents[2] / "configs"
FIRST = (
    *("dcgan_mnist", "fcgan_mnist", "wgan_gp_mnist", "acgan_mnist", "r3gan_mnist"),
    *("stylegan2_mnist", "biggan_mnist", "sngan_mnist", "r3gan_small_cifar10", "sagan_mnist"),
    *("infogan_mnist", "stylegan2_cifar10", "biggan_ada_cifar10", "fastgan_folder"),
)
"""They come first, since the time may not be enough for all."""
Row = dict[str, Any]
"""Of a table: values by column."""


@dataclass(frozen=True)
class Options:
    """What every part is given.

    Attributes:
        device: `cuda`, or `cpu` to try the part.
        table: Markdown file to write.
        details: folder for all else.
        until: `time.monotonic()` at which to stop.
        data_root: of MNIST; None means the digits, which need no files.
        images: a folder a class, for the training of colour images; None means none.
        systems: names of configurations.
    """

    device: torch.device
    table: Path
    details: Path
    until: float
    data_root: str | None
    images: str | None
    systems: list[str]

    @classmethod
    def of(cls, arguments: Sequence[str] | None, description: str | None) -> "Options":
        """Read them from the command line."""
        options = argparse.ArgumentParser(description=description)
        options.add_argument("--device", default="cuda")
        options.add_argument("--table", type=Path, required=True)
        options.add_argument("--details", type=Path, required=True)
        options.add_argument("--seconds", type=float, required=True)
        options.add_argument("--data-root")
        options.add_argument("--images")
        options.add_argument("--systems", default="")
        given = options.parse_args(arguments)
        given.details.mkdir(parents=True, exist_ok=True)
        until = time.monotonic() + given.seconds
        names = given.systems.split(",") if given.systems else names_of_all()
        return cls(
            torch.device(given.device),
            *(given.table, given.details, until, given.data_root, given.images, names),
        )

    def in_time(self, values: Sequence[Any]) -> Iterator[Any]:
        """Values one after the other, until the time is over; what is left is said."""
        for number, value in enumerate(values):
            if time.monotonic() > self.until:
                print(f"no time for {', '.join(map(str, values[number:]))}")
                return
            yield value


def names_of_all() -> list[str]:
    """All configurations, the most important ones first."""
    others = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
    return [*FIRST, *(name for name in others if name not in FIRST)]


@dataclass(frozen=True)
class System:
    """A configuration's variant and its images.

    Attributes:
        name: of the configuration.
        module: on the device.
        loader: of training images, resident on the device.
    """

    name: str
    module: GANModule
    loader: ResidentLoader


class Built(command_line.GANCLI):
    """The command line, up to where it would train."""

    def fit(self, **kwargs: Any) -> None:
        """Train nothing."""


def build(name: str, options: Options, *more: str) -> System:
    """Build a configuration; the digits stand for all data that isn't there."""
    given = ["fit", "--config", str(CONFIGS / f"{name}.yaml"), *data_arguments(name, options)]
    given += ["--trainer.accelerator", "gpu" if options.device.type == "cuda" else "cpu"]
    given += ["--trainer.precision", "32-true", "--trainer.logger", "false", "--dry_run", "true"]
    built = command_line.run([*given, *more], None, Built)
    data: ImageDataModule = built.datamodule
    data.trainer = built.trainer
    module: GANModule = built.model.to(options.device)
    module.asked_classes.learn(data)
    return System(name, module, data.train_dataloader())


def data_arguments(name: str, options: Options) -> list[str]:
    """Arguments for the data of a configuration: its own if they are there, else the digits."""
    data = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())["data"]
    kind, own = data["class_path"].rpartition(".")[2], data["init_args"]
    if kind in ("Points", "Digits"):
        return []
    if kind in ("MNIST", "StackedMNIST") and options.data_root:
        return ["--data.init_args.root", options.data_root]
    given = {"image_size": own.get("image_size", 32), "batch_size": own.get("batch_size", 64)}
    return ["--data=datamodules.Digits", *(f"--data.init_args.{n}={v}" for n, v in given.items())]


def shown(value: Any) -> str:
    """A cell of a table."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return str(value)


def tried(rows_of: Callable[[Any], list[Row]], case: Any) -> list[Row]:
    """Rows of a case, or one that says why there are none: those of others are wanted."""
    try:
        return rows_of(case)
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        return [{"failed": f"{type(error).__name__}: {error}"[:120]}]


def tabulate(
    options: Options, head: str, names: Sequence[str], rows_of: Callable[[str], list[Row]]
) -> list[Row]:
    """Write a table as it grows: the rows of one system after the other, until the time is over."""
    rows: list[Row] = []
    for name in options.in_time(names):
        rows += [{"system": name} | row for row in tried(rows_of, name)]
        write(options, head, rows)
    return rows


def write(options: Options, head: str, rows: Sequence[Row]) -> None:
    """Write a table, and the same as JSON; rows may lack columns."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[shown(row.get(column, "-")) for column in columns] for row in rows]
    with whole(options.table) as part:
        table = markdown([columns, *cells])
        part.write_text(f"{head}\n\n{machine(options.device)}\n\n{table}\n")
    with whole(options.details / "rows.json") as part:
        part.write_text(json.dumps(rows, indent=2) + "\n")


def machine(device: torch.device) -> str:
    """The device, and the versions of what drives it."""
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    return f"{name}; torch {torch.__version__}, CUDA {torch.version.cuda}."
