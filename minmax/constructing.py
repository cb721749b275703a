"""Calls the constructors that options name, and distinguishes wrong options from bugs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch.optim import Optimizer

from minmax.admission import admitted
from minmax.culprits import OWN, raised_in
from minmax.errors import UserError, lies_in, passes_through

Made = TypeVar("Made")


class Constructors:
    """An instantiator for jsonargparse that keeps the constructor's exception.

    jsonargparse wraps most exceptions in its own, which hides the failing line.
    """

    def __init__(self) -> None:
        self._raised: Exception | None = None

    def __call__(self, class_: type[Made], *args: Any, **kwargs: Any) -> Made:
        """Make an object of the class.

        Raises:
            UserError: a library's class refuses its options.
            Exception: whatever the project's or the user's constructor raises.
        """
        try:
            return class_(*args, **kwargs)
        except UserError as error:
            self._raised = error
            raise
        except Exception as error:
            if not refuses_options(class_, error, kwargs):
                self._raised = error
                raise
            self._raised = UserError(f"{class_.__name__}: {error}")
            raise self._raised from error

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Raise the constructor's exception in place of jsonargparse's."""
        self._raised = None
        try:
            yield
        except Exception as error:
            if not passes_through(error, ("jsonargparse",)):
                raise
            first: BaseException = self._raised or error
            while first.__cause__ is not None and raised_in(first, "jsonargparse"):
                first = first.__cause__  # of the model and the data, which Lightning makes
            if isinstance(first, ValueError) and raised_in(first, "jsonargparse"):
                raise UserError(str(first)) from error
            raise first from first.__cause__


def refuses_options(class_: type, error: Exception, options: dict[str, Any]) -> bool:
    """Whether a constructor failed because of its options, and not because of a bug.

    Args:
        class_: whose constructor was called.
        error: its exception.
        options: keyword arguments, as the user gave them.
    """
    if lies_in(class_.__module__, (*OWN, *admitted())):  # these pass options on to Lightning
        return isinstance(error, MisconfigurationException) and not passes_through(
            error, admitted()
        )
    if issubclass(class_, Optimizer):  # do the options fail even with valid parameters?
        try:
            class_([torch.nn.Parameter(torch.zeros(1))], **options)
        except Exception:
            return True
        return False
    return True
