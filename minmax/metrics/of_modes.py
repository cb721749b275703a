"""Scores from the modes of the data that generated samples are of.

VEEGAN (Srivastava et al. 2017, section 4, https://arxiv.org/abs/1705.07761) and PacGAN (Lin et al.
2018, section 4, https://arxiv.org/abs/1712.04086).
"""

import torch
from torch import Tensor


def modes(found: Tensor, shares: Tensor) -> float:
    """Number of modes that a sample is of.

    Args:
        found: number of each sample's mode, int64 `[N]`; -1 for none.
        shares: probability of each mode, `[K]`; here only their number matters.
    """
    return float((_counts(found, shares) > 0).sum())


def high_quality(found: Tensor, shares: Tensor) -> float:
    """Share of the samples that are of a mode; arguments as for `modes`."""
    return float((found >= 0).double().mean())


def reverse_kl(found: Tensor, shares: Tensor) -> float | None:
    """Divergence of the modes' shares among samples from those of the data; None without any.

    `sum p log(p / q)`, natural logarithm, of the shares p among the samples that are of a mode.
    Arguments as for `modes`.
    """
    counts = _counts(found, shares)
    if not counts.sum():
        return None
    p = counts / counts.sum()
    return float(torch.special.xlogy(p, p / shares.to(p)).sum())


def _counts(found: Tensor, shares: Tensor) -> Tensor:
    """Number of samples of each mode, float64 `[K]`."""
    return (found + 1).bincount(minlength=len(shares) + 1)[1:].double()
