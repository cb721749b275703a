"""Terms of training steps; each can serve any variant that has an option of its kind."""

from gan_modules.parts.ada import ADA, SignControl
from gan_modules.parts.augment import Augment, InOrder, InstanceNoise, Unchanged
from gan_modules.parts.batches import Judge, MixedBatch, SeparateBatches
from gan_modules.parts.games import CrossEntropy, Game, Wasserstein
from gan_modules.parts.labels import HardLabels, LabelFlips, OneSidedSmoothing, SoftLabels
from gan_modules.parts.part import Part
from gan_modules.parts.penalties import GradientPenalty, NoPenalty, Penalty

__all__ = [
    "ADA",
    "Augment",
    "CrossEntropy",
    "Game",
    "GradientPenalty",
    "HardLabels",
    "InOrder",
    "InstanceNoise",
    "Judge",
    "LabelFlips",
    "MixedBatch",
    "NoPenalty",
    "OneSidedSmoothing",
    "Part",
    "Penalty",
    "SeparateBatches",
    "SignControl",
    "SoftLabels",
    "Unchanged",
    "Wasserstein",
]
