"""Data that options name, without a model: what `prepare` makes."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from datamodules import ImageDataModule
from datamodules.decoding import naming_all
from datamodules.description import Description
from datamodules.prepared import prepared_images
from datamodules.sharding import refuse_taken, write_shards
from datamodules.wanted import Wanted
from gan_modules import GANModule
from minmax import trust
from minmax.constructing import Constructors
from minmax.errors import UserError
from minmax.paths import expanded, mapped
from minmax.training.parsing import Parser, check_files, configs_first, parsing
from minmax.training.placing import placing


@trust.enforced()
def data_of(arguments: Sequence[str]) -> ImageDataModule:
    """The data that the arguments name, as those of `fit` do.

    Raises:
        UserError: they are wrong.
    """
    if not arguments:
        raise UserError(
            "name the data: --data datamodules.ImageFolder --data.init_args.root FOLDER"
        )
    check_files([*arguments])
    parser, constructors = Parser(prog="cli.py prepare", allow_abbrev=False), Constructors()
    parser.add_subclass_arguments(ImageDataModule, "data", required=True)
    parser.add_instantiator(constructors, object)
    rest = iter(configs_first(["prepare", *arguments])[1:])
    with parsing():
        config, others = None, list[str]()
        for argument in rest:
            option, equals, value = argument.partition("=")
            if option not in ("--config", "-c"):
                others.append(argument)
                continue
            given = _data_in(Path(value if equals else next(rest, "")))
            config = parser.parse_object(given, config, defaults=False)
        values = parser.parse_args(others, config)
    mapped(values, expanded)
    trust.check_config(values)
    kind = trust.imported(values.data.class_path, "data")
    with placing(kind, GANModule), constructors.watched():
        data: ImageDataModule = parser.instantiate_classes(values).data
    return data


def _data_in(file: Path) -> dict[str, Any]:
    """The data's part of a configuration."""
    content = yaml.load(file.read_text(), trust.Bounded)
    if not isinstance(content, dict) or "data" not in content:
        raise UserError(f"--config {file} names no data")
    return {"data": content["data"]}


def prepare(arguments: Sequence[str]) -> Iterator[str]:
    """Make the prepared sets of both splits; a line about each.

    Raises:
        UserError: the data can't be prepared.
    """
    data = data_of(arguments)
    with placing(type(data), GANModule):
        data.prepare_data()
        for train in (True, False):
            wanted = naming_all(lambda train: _made(data, train), train)
            yield f"{wanted.home}: {Description.read(wanted.home)}"


def shard(arguments: Sequence[str], out: Path) -> Iterator[str]:
    """Write the data to shards in a new folder; a line about it.

    Raises:
        UserError: they can't be written.
    """
    refuse_taken(out)
    data = data_of(arguments)
    with placing(type(data), GANModule):
        data.prepare_data()
        yield write_shards(data, out)


def _made(data: ImageDataModule, train: bool) -> Wanted:
    wanted = data.wanted(train)
    if wanted is None:
        raise UserError(f"{type(data).__name__} needs no decoding: there is nothing to prepare")
    if prepared_images(wanted) is None:
        raise UserError(f"{wanted.home.parent} can't be written: choose another `prepared` folder")
    return wanted
