"""Tar files of images, and WebDataset's shards, which have labels beside the images.

https://github.com/webdataset/webdataset
"""

import json
import re
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from tarfile import TarInfo

from datamodules.bars import bar_of
from datamodules.kinds import READABLE, suffix_of
from datamodules.leftovers import LeftOut
from datamodules.names import printable
from datamodules.stores.archives import Archives
from datamodules.stores.members import Member
from datamodules.stores.pieces import Piece
from datamodules.stores.reading import stamp_of
from datamodules.stores.store import Labels, as_class, in_order, plain_path
from minmax.errors import UserError

_SAMPLE = re.compile(r"((?:.*/)?[^/.]+)\.([^/]*)")  # its key, and what kind of part this is
_USUAL = ("cls", "label", "class")


class Tars(Archives):
    """Tar files: one of them, or the shards of a set.

    If a path is in several shards, the names of all images are preceded by that of their shard.

    Args:
        path: what messages call them.
        pieces: the files.
    """

    fields = ", or in shards of WebDataset a kind of member (cls) or a field of its JSON"

    def __init__(self, path: Path, pieces: Sequence[Piece]) -> None:
        super().__init__(path)
        self.pieces = pieces

    def list(self, left_out: LeftOut) -> Iterator[str]:
        """Read the header before each member; nothing else is read."""
        found = list[tuple[int, str, Member]]()
        folders = set[str]()
        with bar_of("Looking for images", "file") as bar:
            for number, piece in enumerate(self.pieces):
                self.stamps.append(stamp_of(piece.path))
                members = dict[str, Member]()
                for path, member in _members(piece.path, number, left_out):
                    if member is None:
                        folders.add(f"{piece.split}{path}/")
                    else:
                        members[path] = member  # the last of one path counts
                    bar.update()
                found += [(number, f"{piece.split}{path}", members[path]) for path in members]
        twice = len({path for _, path, _ in found}) < len(found)
        for number, path, member in found:
            if twice:
                folder, slash, name = path.rpartition("/")  # which may be the class
                path = f"{folder}{slash}{self.pieces[number].path.stem}/{name}"
            self.members[path] = member
        yield from sorted(folders) if not twice else ()
        yield from (path for path in self.members if not path.endswith(".cls"))

    def labels(self, field: str | None) -> Labels | None:
        """Return what the members `key.cls`, or `key.json`, say of the images `key.*`."""
        parts = [(path, match) for path in self.members if (match := _SAMPLE.fullmatch(path))]
        images = {match[1] for path, match in parts if suffix_of(path) in READABLE}
        parts = [(path, match) for path, match in parts if match[1] in images]
        kinds = {match[2] for _, match in parts}
        wanted = _USUAL if field is None else (field,)
        kind = next((kind for kind in wanted if kind in kinds), "json")
        found = dict[str, str]()
        for path, match in parts:
            if match[2] == kind:
                label = self._label(path, kind, wanted)
                if label is None and not found:
                    break  # these files hold other things
                if label is None:
                    raise UserError(
                        f"`labels`: {self.path}/{path} holds no class as others do: a whole number"
                        " or a name; write it, or give other labels."
                    )
                found[match[1]] = label
        if not found:
            return super().labels(field)
        of = {
            path: found[match[1]]
            for path, match in parts
            if match[1] in found and suffix_of(path) in READABLE
        }
        return Labels(f"{self.path} (.{kind})", of, in_order(found.values()))

    def _label(self, path: str, kind: str, fields: Sequence[str]) -> str | None:
        """The class in a member; None if there is none."""
        text = (self.attached(path) or b"").decode("utf-8", "replace")
        if kind != "json":
            return text.strip() or None
        try:
            held = json.loads(text)
        except ValueError:
            return None
        held = held if isinstance(held, dict) else {}
        return as_class(next((held[name] for name in fields if name in held), None))


def _members(path: Path, number: int, left_out: LeftOut) -> Iterator[tuple[str, Member | None]]:
    """Each member's path and place; None for a folder.

    Raises:
        UserError: the file is damaged, or compressed.
    """
    seen = dict[str, Member]()
    try:
        with tarfile.open(path, "r:") as file:
            for entry in file:
                name = plain_path(entry.name)
                target = seen.get(plain_path(entry.linkname) or "") if entry.islnk() else None
                if name is None or not (entry.isdir() or target or _plain(entry)):
                    kind = "links, paths out of the archive and what is no plain file"
                    left_out.add(kind, printable(entry.name))
                elif entry.isdir():
                    yield name, None
                else:
                    seen[name] = target or Member(number, entry.offset_data, entry.size)
                    yield name, seen[name]
        _check_end(path, file.offset)
    except tarfile.TarError as error:
        raise UserError(
            f"`root` leads to {path}, which is no whole tar file ({error}): it is damaged, was"
            " copied in part or is compressed; copy it again, and try `tar -tf`."
        ) from error


def _plain(entry: TarInfo) -> bool:
    return entry.isreg() and not entry.issparse()


def _check_end(path: Path, offset: int) -> None:
    """Refuse what the tarfile module takes for the end: a damaged header, or the file's end."""
    with open(path, "rb") as file:
        file.seek(offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError(f"no header and no end mark at byte {offset:,}")
