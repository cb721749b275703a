"""Callbacks that serve every variant."""

from minmax.callbacks.amounts import Amounts
from minmax.callbacks.averages import Averages
from minmax.callbacks.best_checkpoint import BestCheckpoint
from minmax.callbacks.compiled import Compiled
from minmax.callbacks.diagnosis import Diagnosis
from minmax.callbacks.finite import Finite
from minmax.callbacks.graph import StepGraph
from minmax.callbacks.hooks import GANCallback
from minmax.callbacks.last_checkpoint import LastCheckpoint
from minmax.callbacks.pictures import Pictures
from minmax.callbacks.probes import Probes
from minmax.callbacks.progress import Progress
from minmax.callbacks.promises import Promises
from minmax.callbacks.quality import Quality
from minmax.callbacks.signals import Signals
from minmax.checkpoints.whole import WholeCheckpoints

__all__ = [
    "Amounts",
    "Averages",
    "BestCheckpoint",
    "Compiled",
    "Diagnosis",
    "Finite",
    "GANCallback",
    "LastCheckpoint",
    "Pictures",
    "Probes",
    "Progress",
    "Promises",
    "Quality",
    "Signals",
    "StepGraph",
    "WholeCheckpoints",
]
