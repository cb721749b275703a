"""What a run's curves say of its failures, in words; needs neither torch nor Lightning."""

from minmax.diagnosis.curves import Curves, Finding
from minmax.diagnosis.diary import Diary, Episode, history
from minmax.diagnosis.rules import diagnose

__all__ = ["Curves", "Diary", "Episode", "Finding", "diagnose", "history"]
