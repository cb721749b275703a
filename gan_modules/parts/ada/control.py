"""How p of ADA is found in training (Karras et al. 2020, section 3)."""

import torch
from torch import Tensor

from gan_modules.parallel import sum_over_ranks
from gan_modules.parts.part import Part
from minmax.errors import UserError


class SignControl(Part):
    """Raises p while the discriminator is too sure of real images, and lowers it otherwise.

    The measure is the mean sign of real images' logits, over all ranks and since the last
    adjustment: 0 without overfitting, 1 when all of them are recognised.

    Logs the measure, `augment/sign`.

    Args:
        target: mean sign at which p stays. Paper: 0.6.
        full_images: real images in which p rises from 0 to 1 at most. Paper: 500,000.
        every_batches: batches from one adjustment to the next. Paper: 4.
        max_p: p never exceeds it. Paper: no limit. Above about 0.8 the images that the
            discriminator sees no longer tell what the unaugmented ones are, and augmentation leaks
            into samples (section 2), so p is held there.
    """

    signs: Tensor
    logits: Tensor
    batches: Tensor

    def __init__(
        self,
        target: float = 0.6,
        full_images: int = 500_000,
        every_batches: int = 4,
        max_p: float = 0.8,
    ) -> None:
        super().__init__()
        if not -1 < target < 1:
            raise UserError(f"`target` is a mean sign and must lie between -1 and 1, got {target}")
        if full_images < 1 or every_batches < 1:
            raise UserError(
                "`full_images` and `every_batches` must be at least 1, "
                f"got {full_images} and {every_batches}"
            )
        if not 0 < max_p <= 1:
            raise UserError(f"`max_p` must lie above 0 and be at most 1, got {max_p}")
        self.target = target
        self.full_images = full_images
        self.every_batches = every_batches
        self.max_p = max_p
        for name in ("signs", "logits", "batches"):
            self.register_buffer(name, torch.tensor(0.0))

    @torch.no_grad()
    def forward(self, p: Tensor, real_logits: Tensor, images: int) -> Tensor:
        """The next p (0-dim), from that of now and the logits of so many real images."""
        count = torch.full_like(p, len(real_logits))
        news = sum_over_ranks(torch.stack([real_logits.sign().sum(dtype=p.dtype), count]))
        self.signs += news[0]
        self.logits += news[1]
        self.batches += 1
        mean = self.signs / self.logits
        self.observed = {"augment/sign": mean}
        due = self.batches >= self.every_batches
        judged = self.logits * (images // len(real_logits))
        step = (mean - self.target).sign() * judged / self.full_images
        for memory in (self.signs, self.logits, self.batches):
            memory *= ~due
        return torch.where(due, (p + step).clamp(0, self.max_p), p)
