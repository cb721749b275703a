"""What a run's curves say of its failures, in words; needs neither torch nor Lightning."""

from diagnosis.curves import Curves, Finding
from diagnosis.diary import Diary, Episode, history
from diagnosis.rules import diagnose

__all__ = ["Curves", "Diary", "Episode", "Finding", "diagnose", "history"]
