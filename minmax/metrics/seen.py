"""Images as their features, logits and labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor


@dataclass(frozen=True)
class Images:
    """What scores are computed from, for a set of N images.

    Attributes:
        features: `[N, D]`.
        logits: of the feature network's own classes, `[N, L]`, or None.
        class_logits: of the data's classes, by the domain classifier, `[N, K]`, or None. Where each
            channel has a class of its own, `[N, C, K]`.
        labels: classes of real images, or those that the generator was given, int64 `[N]`; None
            for an unconditional generator.
        modes: numbers of the modes that they are of, int64 `[N]`, -1 for none; or None.
        categories: values of a categorical code that the generator was given, int64 `[N]`, or None.
    """

    features: Tensor
    logits: Tensor | None = None
    class_logits: Tensor | None = None
    labels: Tensor | None = None
    modes: Tensor | None = None
    categories: Tensor | None = None

    @property
    def channel_logits(self) -> Tensor | None:
        """`class_logits`, if each channel has a class of its own."""
        found = self.class_logits
        return found if found is not None and found.dim() > 2 else None

    def map(self, function: Callable[[Tensor], Tensor]) -> "Images":
        """Apply a function to each tensor."""
        changed = {name: function(held) for name, held in vars(self).items() if held is not None}
        return replace(self, **changed)

    @staticmethod
    def joined(parts: Sequence["Images"]) -> "Images":
        """Concatenate all parts."""

        def join(name: str) -> Tensor | None:
            tensors = [getattr(part, name) for part in parts]
            return None if tensors[0] is None else torch.cat(tensors)

        return Images(*(join(field.name) for field in fields(Images)))  # type: ignore[arg-type]
