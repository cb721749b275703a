"""Constant tensors, made once for each set of arguments."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ParamSpec, cast

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import unset_fake_temporarily

Given = ParamSpec("Given")


def made_once(function: Callable[Given, Tensor]) -> Callable[Given, Tensor]:
    """Keep what a function has made, which serves all who ask later.

    So it is made as in training, whoever asks first: a picture is drawn in inference mode, and a
    dry run with tensors without numbers.
    """

    @lru_cache(maxsize=64)
    @wraps(function)
    def made(*args: Given.args, **options: Given.kwargs) -> Tensor:
        with torch.inference_mode(False), unset_fake_temporarily():
            return function(*args, **options)

    return cast(Callable[Given, Tensor], made)
