"""Callbacks that serve every variant."""

from callbacks.checkpoints import BestCheckpoint, LastCheckpoint, WholeCheckpoints
from callbacks.diagnosis import Diagnosis
from callbacks.finite import Finite
from callbacks.pictures import Pictures
from callbacks.progress import Progress
from callbacks.quality import Quality
from callbacks.signals import Signals

__all__ = [
    "BestCheckpoint",
    "Diagnosis",
    "Finite",
    "LastCheckpoint",
    "Pictures",
    "Progress",
    "Quality",
    "Signals",
    "WholeCheckpoints",
]
