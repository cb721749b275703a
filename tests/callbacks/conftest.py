"""What every training of these tests begins with."""

from tests.gan_modules.conftest import _one_thread, _run_seed  # noqa: F401
