"""Terms of training steps; each can serve any variant that has an option of its kind."""

from gan_modules.parts.ada import ADA, SignControl
from gan_modules.parts.augment import Augment, InOrder, InstanceNoise, Unchanged
from gan_modules.parts.batches import Judge, MixedBatch, SeparateBatches
from gan_modules.parts.classes import DataShares, UniformClasses
from gan_modules.parts.consistency import Consistency, FlipAndShift, LatentConsistency
from gan_modules.parts.diffaugment import Colour, Cutout, DiffAugment, Drawn, Translation
from gan_modules.parts.games import (
    CrossEntropy,
    Game,
    Hinge,
    JudgeReal,
    LeastSquares,
    RelativisticAverage,
    RelativisticPairing,
    TopK,
    Wasserstein,
)
from gan_modules.parts.labels import HardLabels, LabelFlips, OneSidedSmoothing, SoftLabels
from gan_modules.parts.lecam import LeCam
from gan_modules.parts.part import Part
from gan_modules.parts.path_length import PathLength
from gan_modules.parts.penalties import (
    DRAGAN,
    R1,
    R2,
    ApproximateR1,
    ApproximateR2,
    GradientPenalty,
)
from gan_modules.parts.penalty import LazyPenalty, NoPenalty, Penalty, SumOfPenalties
from gan_modules.parts.perceptual import PerceptualDistance
from gan_modules.parts.schedules import (
    CosineSchedule,
    ExponentialSchedule,
    LinearSchedule,
    OptimizerSchedule,
    Schedule,
    WarmUp,
)
from gan_modules.parts.turn import Turn
from gan_modules.parts.weights import Orthogonal, WeightClipping

__all__ = [
    "ADA",
    "DRAGAN",
    "R1",
    "R2",
    "ApproximateR1",
    "ApproximateR2",
    "Augment",
    "Colour",
    "Consistency",
    "CosineSchedule",
    "CrossEntropy",
    "Cutout",
    "DataShares",
    "DiffAugment",
    "Drawn",
    "ExponentialSchedule",
    "FlipAndShift",
    "Game",
    "GradientPenalty",
    "HardLabels",
    "Hinge",
    "InOrder",
    "InstanceNoise",
    "Judge",
    "JudgeReal",
    "LabelFlips",
    "LatentConsistency",
    "LazyPenalty",
    "LeCam",
    "LeastSquares",
    "LinearSchedule",
    "MixedBatch",
    "NoPenalty",
    "OneSidedSmoothing",
    "OptimizerSchedule",
    "Orthogonal",
    "Part",
    "PathLength",
    "Penalty",
    "PerceptualDistance",
    "RelativisticAverage",
    "RelativisticPairing",
    "Schedule",
    "SeparateBatches",
    "SignControl",
    "SoftLabels",
    "SumOfPenalties",
    "TopK",
    "Translation",
    "Turn",
    "Unchanged",
    "UniformClasses",
    "WarmUp",
    "Wasserstein",
    "WeightClipping",
]
