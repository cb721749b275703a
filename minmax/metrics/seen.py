"""Images as scores see them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Images:
    """What the scores know of a set of images, each tensor float or int64 `[N, ...]`.

    Attributes:
        features: `[N, D]`.
        logits: of the feature network's own classes, `[N, L]`, or None.
        class_logits: of the data's classes, by the domain classifier, `[N, K]`, or None.
        labels: the classes that the images have, or were asked to have, `[N]`; None if they
            were not asked for any.
    """

    features: Tensor
    logits: Tensor | None = None
    class_logits: Tensor | None = None
    labels: Tensor | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> "Images":
        """The same with a function of each tensor in its place."""
        tensors = (self.features, self.logits, self.class_logits, self.labels)
        return Images(*(tensor if tensor is None else function(tensor) for tensor in tensors))  # type: ignore[arg-type]

    @staticmethod
    def joined(parts: Sequence["Images"]) -> "Images":
        """All parts, one after the other."""

        def join(name: str) -> Tensor | None:
            tensors = [getattr(part, name) for part in parts]
            return None if tensors[0] is None else torch.cat(tensors)

        return Images(*map(join, ("features", "logits", "class_logits", "labels")))  # type: ignore[arg-type]
