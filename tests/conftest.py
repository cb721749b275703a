"""Keeps what the scores need in one folder for all tests, and out of the user's."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

WORKER = "PYTEST_XDIST_WORKER" in os.environ
if WORKER:  # before torch is imported: processes that share cores would wait for each other
    os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(autouse=True, scope="session")
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with pytest.MonkeyPatch.context() as patch:
        base = tmp_path_factory.getbasetemp()
        folder = (base.parent if WORKER else base) / "cache"
        folder.mkdir(exist_ok=True)
        patch.setenv("MINMAX_CACHE", str(folder))
        yield folder
