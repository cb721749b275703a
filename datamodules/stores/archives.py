"""Zip and tar files as stores."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

from datamodules.leftovers import LeftOut
from datamodules.searching import Folder
from datamodules.stores.members import Member, SourceOfMembers, unpacked
from datamodules.stores.reading import Stamp
from datamodules.stores.store import Store, tree_of


class Archives(Store):
    """One or more archives, as if all were unpacked into one folder.

    Args:
        path: what messages call them.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.stamps: list[Stamp] = []
        self.members: dict[str, Member] = {}

    @abstractmethod
    def list(self, left_out: LeftOut) -> Iterator[str]:
        """Fill `stamps` and `members`, and yield the members' paths, of folders with a slash.

        Raises:
            UserError: an archive is damaged.
        """

    def search(self, left_out: LeftOut) -> Folder:
        """List the members."""
        paths = list(self.list(left_out))
        nowhere = Member(0, 0, 0)
        members = ((path, self.members.get(path, nowhere)) for path in paths)
        return tree_of(((path, member[:2]) for path, member in members), left_out)

    def attached(self, path: str) -> bytes | None:
        """Return what a member holds; None if there is none of this path."""
        member = self.members.get(path)
        return None if member is None else unpacked(self.stamps[member.file], member)

    def source(self, paths: Sequence[str]) -> SourceOfMembers:
        """Return the members of these paths."""
        return SourceOfMembers(self.stamps, paths, [self.members[path] for path in paths])
