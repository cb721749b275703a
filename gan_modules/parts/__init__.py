"""Terms of training steps; each can serve any variant that has an option of its kind."""

from gan_modules.parts.augment import Augment, InOrder, InstanceNoise, Unchanged
from gan_modules.parts.batches import Judge, MixedBatch, SeparateBatches
from gan_modules.parts.classes import DataShares, UniformClasses
from gan_modules.parts.diffaugment import Colour, Cutout, DiffAugment, Drawn, Translation
from gan_modules.parts.games import CrossEntropy, Game, Wasserstein
from gan_modules.parts.labels import HardLabels, LabelFlips, OneSidedSmoothing, SoftLabels
from gan_modules.parts.part import Part
from gan_modules.parts.penalties import GradientPenalty, NoPenalty, Penalty

__all__ = [
    "Augment",
    "Colour",
    "CrossEntropy",
    "Cutout",
    "DataShares",
    "DiffAugment",
    "Drawn",
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
    "SoftLabels",
    "Translation",
    "Unchanged",
    "UniformClasses",
    "Wasserstein",
]
