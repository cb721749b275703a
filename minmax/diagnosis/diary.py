"""Follows a run's curves as they grow, and notes when failures begin and end."""

from dataclasses import dataclass, field

from minmax.diagnosis.rules import diagnose
from minmax.diagnosis.stretches import Curves, Finding, thin_out


@dataclass
class Diary:
    """The values logged so far, as far as rules look at them, and the current failures.

    Attributes:
        curves: by log name; long ones are thinned out.
        current: findings by failure, as they were when the failure was noticed.
    """

    curves: Curves = field(default_factory=dict)
    current: dict[str, Finding] = field(default_factory=dict)

    def note(
        self, images_seen: int, values: dict[str, float]
    ) -> tuple[list[Finding], list[Finding]]:
        """Add the values that were logged after `images_seen` images.

        Returns:
            The findings that begin with these values, and the findings that end.
        """
        for name, value in values.items():
            images, older = self.curves.setdefault(name, ([], []))
            images.append(images_seen)
            older.append(value)
            thin_out(images, older)
        now = {finding.name: finding for finding in diagnose(self.curves)}
        begun = [finding for name, finding in now.items() if name not in self.current]
        ended = [finding for name, finding in self.current.items() if name not in now]
        for finding in ended:
            del self.current[finding.name]
        self.current |= {finding.name: finding for finding in begun}
        return begun, ended


@dataclass
class Episode:
    """A failure from its beginning to its end.

    Attributes:
        finding: as it was when it was noticed.
        said_at: images seen when it was noticed, some time after its beginning.
        until_images: images seen when it was over; None if it isn't.
    """

    finding: Finding
    said_at: int
    until_images: int | None = None


def history(curves: Curves) -> list[Episode]:
    """Every failure of a run, found in its complete curves as the run itself found it."""
    logged: dict[int, dict[str, float]] = {}
    for name, (images, values) in curves.items():
        for images_seen, value in zip(images, values, strict=True):
            logged.setdefault(images_seen, {})[name] = value
    diary, episodes = Diary(), list[Episode]()
    for images_seen in sorted(logged):
        begun, ended = diary.note(images_seen, logged[images_seen])
        for episode in episodes:
            if episode.until_images is None and episode.finding in ended:
                episode.until_images = images_seen
        episodes += [Episode(finding, images_seen) for finding in begun]
    return episodes
