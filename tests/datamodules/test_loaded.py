"""What a data set of the user's own may load."""

from typing import Any

import pytest
import torch

from datamodules import ImageDataModule
from minmax.errors import UserError

BYTES = torch.zeros(6, 1, 4, 4, dtype=torch.uint8)
LABELS = torch.arange(6) % 2


class Given(ImageDataModule):
    """Loads what it is given."""

    def __init__(self, loaded: Any) -> None:
        super().__init__(["cat", "dog"], 4, True, 2)
        self.loaded = loaded

    def load(self, train: bool) -> Any:
        return self.loaded


@pytest.mark.parametrize(
    ("loaded", "message"),
    [
        (None, "Given.load must return two tensors"),
        (BYTES, "must return two tensors"),
        ((BYTES, LABELS.tolist()), "must return two tensors"),
        ((BYTES.float(), LABELS), r"images of torch.float32: return bytes \(torch.uint8\)"),
        ((BYTES[:, 0], LABELS), r"shape \[6, 4, 4\]: return \[N, 1, H, W\]"),
        ((BYTES.expand(6, 4, 4, 4), LABELS), r"shape \[6, 4, 4, 4\]"),
        ((BYTES, LABELS[:5]), r"shape \[5\]: return torch.int64, one for each of the 6 images"),
        ((BYTES, LABELS.float()), "labels of torch.float32"),
        ((BYTES, LABELS + 1), "the label 2: labels are positions .* from 0 to 1"),
        ((BYTES, LABELS - 1), "the label -1"),
    ],
)
def test_what_is_refused(loaded: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Given(loaded).split(train=True)


def test_bytes_and_their_labels() -> None:
    images, labels = Given((BYTES, LABELS)).split(train=True)
    assert torch.equal(images, BYTES)
    assert torch.equal(labels, LABELS)
