"""Tensors that took long to make, kept on disk under all that they depend on."""

import hashlib
import json
import os
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from uuid import uuid4

import torch
from torch import Tensor

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
    another key are never taken for these. A damaged file is made again. Where nothing can be
    written, nothing is kept, with a warning.

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
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{uuid4().hex}")
        try:
            torch.save({"key": text, "tensors": tensors}, partial)
            # If another process was faster, its tensors are everybody's.
            held = _read(path, text)
            if held is None:
                os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        warnings.warn(
            f"{path.parent} can't be written ({error.strerror}), so that the {kind} has to be made "
            "anew each time: set MINMAX_CACHE to a folder that can",
            stacklevel=2,
        )
    return tensors if held is None else held


def _read(path: Path, key: str) -> Tensors | None:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        return dict(content["tensors"]) if content["key"] == key else None
    except Exception:  # missing, or damaged in any of many ways: then it is made again
        return None
