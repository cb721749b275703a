"""Caches expensive tensors on disk, with everything that they depend on as the key."""

import hashlib
import json
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from minmax.errors import UserError
from minmax.files import whole
from minmax.paths import cache_folder

Tensors = dict[str, Tensor]

PART = 4096


def fingerprint(*tensors: Tensor) -> str:
    """SHA-256 of the tensors' types, shapes and values, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)};".encode())
        # Part by part: a mapped set may be larger than memory.
        for part in torch.split(tensor.detach(), PART) if tensor.dim() else [tensor.detach()]:
            values = part.cpu().contiguous()
            digest.update(values.view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def cached(kind: str, key: Mapping[str, object], make: Callable[[], Tensors]) -> Tensors:
    """The tensors of this key: from the cache, or made by `make` and saved there.

    The file's name holds a hash of the key, and the file the whole key, so that tensors of
    another key are never returned. The file also holds a hash of the tensors: a damaged file
    is made again. If the file can't be written, nothing is saved, with a warning.

    Args:
        kind: begins the file's name.
        key: everything that the tensors depend on, in plain values.
        make: makes the tensors.
    """
    text = json.dumps(key, sort_keys=True)
    path = cache_folder() / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:20]}.pt"
    saved = _read(path, text)
    if saved is not None:
        return saved
    tensors = {name: tensor.cpu() for name, tensor in make().items()}
    saved = _read(path, text)  # if another process was faster, all use its tensors
    if saved is not None:
        return saved
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
    """Names and a hash of the tensors, by which damage is found."""
    return [*tensors, fingerprint(*tensors.values())]


def _read(path: Path, key: str) -> Tensors | None:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        tensors = dict(content["tensors"])
        same = content["key"] == key and content["sha256"] == _content(tensors)
        return tensors if same else None
    except Exception:  # missing or damaged: it is made again
        return None
