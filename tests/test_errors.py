"""Which errors are wrong input, and which option they name."""

import errno
import os
from typing import Any

import pytest

import datamodules
import gan_modules
from gan_modules.bookkeeping.described import parameters_of
from minmax import culprits
from minmax.errors import MissingError, UserError, files_named
from minmax.training.placing import placed, placing


class TestPlaces:
    @pytest.mark.parametrize(
        ("message", "shown"),
        [
            ("`root` is 3", "--data.init_args.root is 3"),
            ("`image_size` is 0", "--data.init_args.image_size is 0"),
            ("`latent_dim` must", "--model.init_args.latent_dim must"),
            ("`penalty` can't", "--model.init_args.penalty can't"),
            ("`channels` of it", "`channels` of it"),  # no option
            ("`Quality.count` must", "--quality.count must"),
            ("`LastCheckpoint.every_images`", "--checkpoint_last.every_images"),
            ("`Other.count` must", "`Other.count` must"),
            ("`python cli.py fit` and `x`", "`python cli.py fit` and `x`"),
            ("root", "root"),
        ],
    )
    def test_an_argument_is_named_as_an_option(self, message, shown):
        with (
            pytest.raises(UserError) as caught,
            placing(datamodules.ImageFolder, gan_modules.GAN),
        ):
            raise UserError(message)
        assert str(caught.value) == shown

    def test_of_other_data(self):
        with (
            pytest.raises(UserError, match=r"^`root` is 3$"),
            placing(datamodules.Digits, gan_modules.GAN),
        ):
            raise UserError("`root` is 3")

    def test_a_bug_keeps_its_message(self):
        with (
            pytest.raises(ValueError, match=r"^`root` is 3$"),
            placing(datamodules.ImageFolder, gan_modules.GAN),
        ):
            raise ValueError("`root` is 3")

    def test_arguments_that_are_handed_on(self):
        class Base:
            def __init__(self, a: int) -> None: ...

        class Through(Base):
            def __init__(self, b: int, **shared: int) -> None: ...

        class Closed(Base):
            def __init__(self, c: int) -> None: ...

        assert parameters_of(Through) == ["b", "a"]
        assert parameters_of(Closed) == ["c"]

    def test_without_places(self):
        assert placed("`a` and `Finite.returns`", {}) == "`a` and --finite.returns"


def raised(error: Exception, *modules: str) -> Exception:
    """The error as functions of these modules raise it, the last one innermost."""
    code, inner = "def call(): raise inner", error
    for module in reversed(modules):
        space: dict[str, Any] = {"__name__": module, "inner": inner}
        exec(code, space)
        code, inner = "def call(): inner()", space["call"]
    with pytest.raises(type(error)) as caught:
        space["call"]()
    return caught.value


CALL = "lightning.pytorch.trainer.call"


@pytest.mark.parametrize(
    ("error", "modules", "of_options"),
    [
        (TypeError(), [culprits.DEVICES, "lightning.fabric.accelerators.cpu"], True),
        (TypeError(), [CALL], False),
        (ImportError(), [CALL, "lightning.pytorch.callbacks.device_stats_monitor"], True),
        (ImportError(), [CALL, "gan_modules.gan"], False),
    ],
)
def test_what_the_trainer_raises_about_options(error, modules, of_options):
    found = culprits.about_options(raised(error, culprits.TRAINER, *modules))
    assert found == of_options


class TestFiles:
    def test_a_file_that_is_not_there(self, tmp_path):
        with pytest.raises(UserError, match=r"a\.txt: No such file") as caught, files_named():
            (tmp_path / "a.txt").read_text()
        assert isinstance(caught.value.__cause__, FileNotFoundError)

    def test_what_has_no_file(self):
        with pytest.raises(OSError, match="No space") as caught, files_named():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        assert not isinstance(caught.value, UserError)

    def test_a_line_stays(self):
        with pytest.raises(MissingError, match=r"^no checkpoint$"), files_named():
            raise MissingError("no checkpoint")

    def test_it_is_caught_as_either(self):
        for kind in (UserError, ValueError, FileNotFoundError):
            with pytest.raises(kind):
                raise MissingError("no checkpoint")
