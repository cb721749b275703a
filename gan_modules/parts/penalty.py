"""What a penalty promises; none, sums of several, and penalties that are not due at each update."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from gan_modules.parallel import zero_of
from gan_modules.parts.part import Part
from gan_modules.parts.turn import BOTH, Turn
from minmax.errors import UserError


class Penalty(Part, ABC):
    """A term of the networks' losses that sees more than logits.

    A subclass has `forward`, for the discriminator's loss; it may have the other methods.

    Attributes:
        step_share: learning rates are multiplied by it, and Adam's betas raised to its power; below
            1 if the discriminator takes more steps than one an update.
        kinds: the images whose logits it needs, real and generated ones.
    """

    step_share = 1.0
    kinds = BOTH

    @abstractmethod
    def forward(self, turn: Turn) -> Tensor:
        """The discriminator's term times its weight: a scalar in float32, or float64 if images are.

        Args:
            turn: the update, after the discriminator was shown its images.
        """

    def of_generator(
        self, generator: nn.Module, latent: Tensor, asked: Tensor, fake: Tensor
    ) -> list[Tensor]:
        """The generator's terms times their weights, scalars; none by default.

        Args:
            generator: latents and classes to images.
            latent: latents `[N, latent_dim]` of this update.
            asked: their classes `[N]`.
            fake: their images `[N, C, H, W]`.
        """
        return []

    def watch(self, turn: Turn) -> Turn:
        """Prepare the images before the discriminator is shown them, for their gradients say."""
        return turn

    def lazy(self, turn: Turn) -> Iterator[Tensor]:
        """Losses after the update, each for a step of its own."""
        return iter(())

    def after(self, discriminator: nn.Module) -> None:
        """Change the discriminator after its update, if it has to be."""

    def check(self, discriminator: nn.Module) -> None:
        """Refuse a discriminator for which the penalty has no meaning.

        Raises:
            UserError: the penalty has no meaning for it.
        """

    def check_generator(self, generator: nn.Module) -> None:
        """Refuse a generator for which the penalty has no meaning.

        Raises:
            UserError: the penalty has no meaning for it.
        """


def drops(layer: nn.Module) -> bool:
    """Whether a layer is dropout with a rate above 0."""
    return isinstance(layer, nn.modules.dropout._DropoutNd) and layer.p > 0


class NoPenalty(Penalty):
    """No term of the discriminator."""

    zero: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.constant("zero", 0.0)

    def forward(self, turn: Turn) -> Tensor:
        """0."""
        return self.zero


class SumOfPenalties(Penalty):
    """Several penalties at once, R1 and R2 say.

    Args:
        penalties: at least one.
    """

    def __init__(self, penalties: list[Penalty]) -> None:
        super().__init__()
        if not penalties:
            raise UserError("`penalties` must name at least one: leave `penalty` out for none")
        self.penalties: Any = nn.ModuleList(penalties)
        more_steps = sum(1 / penalty.step_share - 1 for penalty in penalties)
        self.step_share = 1 / (1 + more_steps)
        self.kinds = frozenset().union(*(penalty.kinds for penalty in penalties))

    def forward(self, turn: Turn) -> Tensor:
        """The sum of the discriminator's terms."""
        return torch.stack([penalty(turn) for penalty in self.penalties]).sum()

    def of_generator(
        self, generator: nn.Module, latent: Tensor, asked: Tensor, fake: Tensor
    ) -> list[Tensor]:
        """The generator's terms of all."""
        terms = (p.of_generator(generator, latent, asked, fake) for p in self.penalties)
        return [term for of_one in terms for term in of_one]

    def watch(self, turn: Turn) -> Turn:
        """Let each penalty prepare the images."""
        for penalty in self.penalties:
            turn = penalty.watch(turn)
        return turn

    def lazy(self, turn: Turn) -> Iterator[Tensor]:
        """The losses of all."""
        for penalty in self.penalties:
            yield from penalty.lazy(turn)

    def after(self, discriminator: nn.Module) -> None:
        """Let each penalty change the discriminator."""
        for penalty in self.penalties:
            penalty.after(discriminator)

    def check(self, discriminator: nn.Module) -> None:
        """Let each penalty refuse the discriminator."""
        for penalty in self.penalties:
            penalty.check(discriminator)

    def check_generator(self, generator: nn.Module) -> None:
        """Let each penalty refuse the generator."""
        for penalty in self.penalties:
            penalty.check_generator(generator)


def has_term(penalty: Penalty) -> bool:
    """Whether a penalty has a term of the discriminator; limits of its weights are none."""
    if isinstance(penalty, SumOfPenalties):
        return any(map(has_term, penalty.penalties))
    return type(penalty).forward is not NoPenalty.forward


class LazyPenalty(Penalty):
    """A penalty at every k-th update alone, times k, in a step of its own.

    Learning rates are multiplied by c and Adam's betas raised to the power c, with c = k / (k + 1)
    (Karras et al. 2020, appendix B, https://arxiv.org/abs/1912.04958). The discriminator is shown
    the update's images anew; the paper generates new ones. Terms of the generator are not lazy.
    Huang et al. 2024 (appendix E, https://arxiv.org/abs/2501.05441) found it worse than a penalty
    at each update, and total failure on StackedMNIST.

    Args:
        penalty: the penalty.
        every: k, the number of updates of the discriminator for each of the penalty.
    """

    zero: Tensor

    def __init__(self, penalty: Penalty, every: int = 16) -> None:
        super().__init__()
        if every < 1:
            raise UserError(f"`every` of LazyPenalty must be at least 1, got {every}")
        if penalty.step_share < 1:
            raise UserError(
                "`penalty` of LazyPenalty is lazy itself, so that it would never be due: leave one "
                "LazyPenalty out"
            )
        if not has_term(penalty):
            raise UserError(
                f"`penalty` {type(penalty).__name__} of LazyPenalty has no term of the "
                "discriminator that could be lazy: name it without LazyPenalty"
            )
        self.penalty = penalty
        self.every = every
        self.step_share = every / (every + 1)
        self.constant("zero", 0.0)

    def forward(self, turn: Turn) -> Tensor:
        """0: the term has a step of its own."""
        return self.zero

    def of_generator(
        self, generator: nn.Module, latent: Tensor, asked: Tensor, fake: Tensor
    ) -> list[Tensor]:
        """The penalty's, at each update."""
        return self.penalty.of_generator(generator, latent, asked, fake)

    def kind(self, update: int) -> bool:
        """Whether the term is due."""
        return update % self.every == 0

    def lazy(self, turn: Turn) -> Iterator[Tensor]:
        """The term, if it is due."""
        if self.kind(turn.update):
            again = self.penalty.watch(turn.again())
            again.judge_kinds(self.penalty.kinds)
            term = self.every * self.penalty(again)
            if isinstance(turn.discriminator, nn.Module):
                term = term + zero_of(turn.discriminator)
            yield term

    def after(self, discriminator: nn.Module) -> None:
        """Let the penalty change the discriminator."""
        self.penalty.after(discriminator)

    def check(self, discriminator: nn.Module) -> None:
        """Let the penalty refuse the discriminator."""
        self.penalty.check(discriminator)

    def check_generator(self, generator: nn.Module) -> None:
        """Let the penalty refuse the generator."""
        self.penalty.check_generator(generator)
