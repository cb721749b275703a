"""Images as their features, logits and labels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Images:
    """What scores are computed from, for a set of N images.

    Attributes:
        features: `[N, D]`.
        logits: of the feature network's own classes, `[N, L]`, or None.
        class_logits: of the data's classes, by the domain classifier, `[N, K]`, or None.
        labels: classes of real images, or those that the generator was given, int64 `[N]`; None
            for an unconditional generator.
    """

    features: Tensor
    logits: Tensor | None = None
    class_logits: Tensor | None = None
    labels: Tensor | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> "Images":
        """Apply a function to each tensor."""
        tensors = (self.features, self.logits, self.class_logits, self.labels)
        return Images(*(tensor if tensor is None else function(tensor) for tensor in tensors))  # type: ignore[arg-type]

    @staticmethod
    def joined(parts: Sequence["Images"]) -> "Images":
        """Concatenate all parts."""

        def join(name: str) -> Tensor | None:
            tensors = [getattr(part, name) for part in parts]
            return None if tensors[0] is None else torch.cat(tensors)

        return Images(*map(join, ("features", "logits", "class_logits", "labels")))  # type: ignore[arg-type]
