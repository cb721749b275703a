"""Callbacks that serve every variant."""

from minmax.callbacks.amounts import Amounts
from minmax.callbacks.checkpoints import BestCheckpoint, LastCheckpoint, WholeCheckpoints
from minmax.callbacks.diagnosis import Diagnosis
from minmax.callbacks.finite import Finite
from minmax.callbacks.pictures import Pictures
from minmax.callbacks.progress import Progress
from minmax.callbacks.quality import Quality
from minmax.callbacks.signals import Signals

__all__ = [
    "Amounts",
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
