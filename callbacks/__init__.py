"""Callbacks that serve every variant."""

from callbacks.checkpoints import BestCheckpoint, LastCheckpoint
from callbacks.pictures import Pictures
from callbacks.progress import Progress
from callbacks.quality import Quality

__all__ = ["BestCheckpoint", "LastCheckpoint", "Pictures", "Progress", "Quality"]
