"""Set-up of every training in these tests."""

from tests.gan_modules.conftest import _one_thread, _run_seed  # noqa: F401
