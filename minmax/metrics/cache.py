"""Tensors that took long to make, kept on disk under all that they depend on."""

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from minmax.errors import UserError
from minmax.files import whole
from minmax.paths import expanded

Tensors = dict[str, Tensor]


def cache_folder() -> Path:
    """`$MINMAX_CACHE`, else `minmax` in the user's cache folder."""
    user = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(expanded(os.environ.get("MINMAX_CACHE", "")) or Path(user) / "minmax")


def fingerprint(*tensors: Tensor) -> str:
    """SHA-256 of the tensors' types, shapes and values, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for tensor in tensors:
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{values.dtype} {tuple(values.shape)};".encode())
        digest.update(values.view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def cached(kind: str, key: Mapping[str, object], make: Callable[[], Tensors]) -> Tensors:
    """What `make` made the first time that it was asked for with this key.

    The key is in the file's name as a hash and in the file as it is, so that tensors of
    another key are never taken for these. With them stands a hash of their content: a damaged
    file is made again. Where nothing can be written, nothing is kept, with a warning.

    Args:
        kind: begins the file's name.
        key: all that the tensors depend on, in plain values.
        make: makes them.
    """
    text = json.dumps(key, sort_keys=True)
    path = cache_folder() / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:20]}.pt"
    held = _read(path, text)
    if held is not None:
        return held
    tensors = {name: tensor.cpu() for name, tensor in make().items()}
    held = _read(path, text)  # if another process was faster, its tensors are everybody's
    if held is not None:
        return held
    try:
        with whole(path) as part, part.open("wb") as stream:
            torch.save({"key": text, "tensors": tensors, "sha256": _content(tensors)}, stream)
    except UserError as error:
        warnings.warn(
            f"{error}. Until then the {kind} has to be made anew each time: set MINMAX_CACHE to "
            "a folder that can be written",
            stacklevel=2,
        )
    return tensors


def _content(tensors: Tensors) -> list[str]:
    """What tells damaged tensors from those that were made."""
    return [*tensors, fingerprint(*tensors.values())]


def _read(path: Path, key: str) -> Tensors | None:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        tensors = dict(content["tensors"])
        same = content["key"] == key and content["sha256"] == _content(tensors)
        return tensors if same else None
    except Exception:  # missing, or damaged in any of many ways: then it is made again
        return None
