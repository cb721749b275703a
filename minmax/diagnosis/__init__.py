"""Finds failures in a run's curves, and describes them; needs neither torch nor Lightning."""

from minmax.diagnosis.diary import Diary, Episode, history
from minmax.diagnosis.rules import diagnose
from minmax.diagnosis.stretches import Curves, Finding

__all__ = ["Curves", "Diary", "Episode", "Finding", "diagnose", "history"]
