"""Zip files of images."""

import stat
from collections.abc import Iterator
from zipfile import BadZipFile, ZipFile, ZipInfo

from datamodules.leftovers import LeftOut
from datamodules.names import printable
from datamodules.stores.archives import Archives
from datamodules.stores.members import DEFLATED, STORED, Member
from datamodules.stores.reading import stamp_of
from datamodules.stores.store import plain_path
from minmax.errors import UserError

_ENCRYPTED = 1


class Zip(Archives):
    """A zip file; members are stored or deflated."""

    def list(self, left_out: LeftOut) -> Iterator[str]:
        """Read the index at the file's end."""
        self.stamps = [stamp_of(self.path)]
        try:
            with ZipFile(self.path) as file:
                entries = file.infolist()
        except (BadZipFile, NotImplementedError, EOFError, ValueError) as error:
            raise UserError(
                f"`root` is {str(self.path)!r}, which is no whole zip file ({error}): it is damaged"
                " or was copied in part; copy it again, and try `unzip -t`."
            ) from error
        for entry in entries:
            path = plain_path(entry.filename)
            if path is None or stat.S_ISLNK(entry.external_attr >> 16):
                left_out.add("links and paths out of the archive", printable(entry.filename))
                continue
            if entry.is_dir():
                yield f"{path}/"
                continue
            end = entry.header_offset + entry.compress_size
            if not 0 <= entry.header_offset <= end <= self.stamps[0].size:
                raise self._refused(
                    entry,
                    "lies outside the file: it is damaged or was copied in part; copy it again, and"
                    " try `unzip -t`.",
                )
            if entry.flag_bits & _ENCRYPTED or entry.compress_type not in (STORED, DEFLATED):
                raise self._refused(
                    entry,
                    "is encrypted or packed in a rare way: unpack the file, and pack it again with"
                    " `zip -0 -r` (images are compressed already).",
                )
            place = (0, entry.header_offset, entry.compress_size)
            self.members[path] = Member(*place, entry.compress_type, entry.CRC)
            yield path

    def _refused(self, entry: ZipInfo, why: str) -> UserError:
        member = printable(entry.filename)
        return UserError(f"`root` is {str(self.path)!r}, whose member {member} {why}")
