"""Replaces names of arguments in messages by options of the command line."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from gan_modules.bookkeeping.described import parameters_of
from minmax.errors import UserError
from minmax.training import parts

GROUPS = {kind.__name__: name for name, kind in parts.WITH_OPTIONS.items()} | {"Trainer": "trainer"}
"""For each class that every run has: the group of its options."""
LINKED = ("channels", "image_size", "num_classes")
"""Arguments of the model that are taken from the data, and so no options."""


def placed(message: str, places: Mapping[str, str]) -> str:
    """Replace arguments between backticks in a message by options.

    `` `root` `` becomes `--data.init_args.root` if the data has such an argument, and
    `` `Quality.count` `` becomes `--quality.count`; other backticks stay.
    """

    def option(found: re.Match[str]) -> str:
        class_, _, name = found[1].rpartition(".")
        if class_ in GROUPS:
            return f"--{GROUPS[class_]}.{name}"
        return places.get(found[1], found[0])

    return re.sub(r"`([\w.]+)`", option, message)


@contextmanager
def placing(data: type, model: type) -> Iterator[None]:
    """Have errors name options of these classes instead of Python's arguments."""
    try:
        yield
    except UserError as error:
        places = {name: f"--model.init_args.{name}" for name in parameters_of(model)}
        for name in LINKED:
            places.pop(name, None)
        places |= {name: f"--data.init_args.{name}" for name in parameters_of(data)}
        message = placed(str(error), places)
        if message == str(error):
            raise
        raise UserError(message) from error
