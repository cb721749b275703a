"""Members of zip and tar files, read by their offsets."""

import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from datamodules.sources import Source
from datamodules.stores.reading import Stamp, lines_of, read_at

STORED, DEFLATED, TARRED = 0, 8, -1
_HEADER = 30


class Member(NamedTuple):
    """Where a member's bytes lie.

    Attributes:
        file: number of its archive.
        offset: where they begin; in a zip file, where their header begins.
        size: of the bytes in the archive.
        packing: `STORED` or `DEFLATED` after a header of a zip file, or `TARRED`.
        checksum: CRC-32 of a zip file's member; 0 in a tar file.
    """

    file: int
    offset: int
    size: int
    packing: int = TARRED
    checksum: int = 0


class SourceOfMembers(Source):
    """Members of archives.

    Args:
        archives: the archives.
        paths: of the members.
        members: where they lie.
    """

    def __init__(
        self, archives: Sequence[Stamp], paths: Sequence[str], members: Sequence[Member]
    ) -> None:
        self.archives, self.paths, self.members = archives, paths, members

    def __len__(self) -> int:
        return len(self.paths)

    def name(self, index: int) -> str:
        """Return the archive's path and the member's."""
        return f"{self.archives[self.members[index].file].path}/{self.paths[index]}"

    def read(self, index: int) -> bytes:
        """Return a member's bytes."""
        member = self.members[index]
        return unpacked(self.archives[member.file], member)

    def made_of(self) -> Iterator[str]:
        """Yield each archive's size and time of change, and each member's place."""
        yield from lines_of(self.archives)
        for path, member in zip(self.paths, self.members, strict=True):
            yield f"{path} {member.file} {member.offset} {member.size}"


def unpacked(archive: Stamp, member: Member) -> bytes:
    """Return a member's bytes.

    Raises:
        OSError: they can't be read, or are damaged.
    """
    if member.packing == TARRED:
        return read_at(archive, member.offset, member.size)
    header = read_at(archive, member.offset, _HEADER)
    if header[:4] != b"PK\3\4":
        raise OSError("is not where the index of its zip file says: that file is damaged")
    names = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
    data = read_at(archive, member.offset + _HEADER + names, member.size)
    if member.packing == DEFLATED:
        try:
            data = zlib.decompress(data, -zlib.MAX_WBITS)
        except zlib.error as error:
            raise OSError(f"can't be unpacked ({error}): its zip file is damaged") from error
    if zlib.crc32(data) != member.checksum:
        raise OSError("has another checksum than its zip file says, which is damaged")
    return data
