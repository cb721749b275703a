"""Finding the image files below a folder; each real folder is read once, whatever links it has."""

import os
import stat
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from datamodules.bars import bar_of
from datamodules.kinds import READABLE, UNREADABLE, suffix_of
from datamodules.leftovers import LeftOut

SYSTEM = frozenset(
    {
        *("@eadir", "@tmp", "#recycle", "@recycle", "#snapshot", "__macosx", "$recycle.bin"),
        *("lost+found", "system volume information", "__pycache__"),
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"),
    }
)
"""Names that systems leave beside a user's files; some hold small copies of all images."""

Identity = tuple[int, int]


INDEX = "dataset.json"
"""StyleGAN's labels, which are read elsewhere."""
UNREAD = "folders that can't be read"
MET = "links to what is read already"


class Found(NamedTuple):
    """An image file.

    Attributes:
        path: below the folder that was searched, with slashes.
        identity: device and inode, the same for every path; None if the file can't be reached.
        linked: whether a link is on the path.
    """

    path: str
    identity: Identity | None
    linked: bool


@dataclass(eq=False)
class Folder:
    """A real folder.

    Attributes:
        images: of each image its name, its identity, and whether it is a link.
        folders: its folders by name, each with whether it is a link.
    """

    images: list[tuple[str, Identity | None, bool]] = field(default_factory=list)
    folders: dict[str, tuple["Folder", bool]] = field(default_factory=dict)


def search(root: Path, left_out: LeftOut) -> Folder:
    """Read all folders below `root`, with a progress bar if it takes a second.

    No file is opened. A link to a folder that it lies in is not followed.
    """
    top, status = Folder(), root.stat()
    known = {(status.st_dev, status.st_ino): top}
    waiting = [("", top)]
    with bar_of("Looking for images", "file") as bar:
        while waiting:
            path, folder = waiting.pop()
            try:
                entries = sorted(os.scandir(root / path), key=lambda entry: entry.name)
            except OSError as error:
                left_out.add(UNREAD, f"{path or root}: {error.strerror}")
                continue
            bar.update(len(entries))
            for entry in entries:
                below = f"{path}/{entry.name}" if path else entry.name
                kind, identity = _look(entry, below, left_out)
                if kind == "image":
                    folder.images.append((entry.name, identity, entry.is_symlink()))
                elif (
                    kind == "folder" and entry.is_symlink() and _leads_back(root, path, entry.name)
                ):
                    left_out.add("links that lead back", below)
                elif kind == "folder" and identity is not None:
                    if identity not in known:
                        waiting.append((below, known.setdefault(identity, Folder())))
                    folder.folders[entry.name] = known[identity], entry.is_symlink()
    return top


def _look(
    entry: os.DirEntry[str], below: str, left_out: LeftOut
) -> tuple[Literal["image", "folder", "neither"], Identity | None]:
    """What an entry is, and its device and inode."""
    name, suffix = entry.name, suffix_of(entry.name)
    if suffix not in READABLE and entry.is_file(follow_symlinks=False):
        file_left_out(name, left_out)
    elif not name_left_out(name, left_out):
        try:
            status = entry.stat()
        except OSError as error:
            if suffix in READABLE:  # decoding will name it, and say why it can't be read
                return "image", None
            what = "links to nowhere" if entry.is_symlink() else UNREAD
            left_out.add(what, f"{below}: {error.strerror}")
            return "neither", None
        identity = (status.st_dev, status.st_ino)
        if stat.S_ISDIR(status.st_mode):
            return "folder", identity
        if not stat.S_ISREG(status.st_mode):
            left_out.add("pipes, sockets and devices", below)
        elif suffix in READABLE:
            return "image", identity
        else:
            left_out.add("other files", suffix or name)
    return "neither", None


def name_left_out(name: str, left_out: LeftOut) -> bool:
    """Whether a file or folder is hidden, or of the system; it is counted then."""
    if name.startswith("."):
        left_out.add("hidden", name)
    elif name.lower() in SYSTEM:
        left_out.add("of the system", name)
    else:
        return False
    return True


def file_left_out(name: str, left_out: LeftOut) -> bool:
    """Whether a file is hidden, of the system, or no image; it is counted then."""
    if name_left_out(name, left_out):
        return True
    suffix = suffix_of(name)
    if suffix in READABLE:
        return False
    kind = "images of kinds that can't be read here" if suffix in UNREADABLE else "other files"
    if name != INDEX:
        left_out.add(kind, suffix or name)
    return True


def _leads_back(root: Path, path: str, name: str) -> bool:
    target = (root / path / name).resolve()
    return any(place.resolve().is_relative_to(target) for place in (root, root / path))


def holds_images(folder: Folder) -> bool:
    """Whether there is an image in a folder, or anywhere below it."""
    seen, waiting = {folder}, [folder]
    while waiting:
        here = waiting.pop()
        if here.images:
            return True
        new = {inner for inner, _ in here.folders.values()} - seen
        seen |= new
        waiting += new
    return False


def images_below(
    folder: Folder, linked: bool, left_out: LeftOut, place: str, prefix: str = ""
) -> list[Found]:
    """All images below a folder, in the order of `os.walk` with sorted names.

    A real folder with several paths is visited once, if possible by one without a link.

    Args:
        folder: where to begin.
        linked: whether it was reached by a link.
        left_out: receives links to folders that were visited already.
        place: start of the paths in `left_out`.
        prefix: start of the paths in the result.
    """
    found: list[Found] = []
    seen, links = {folder}, deque[tuple[str, Folder]]()
    waiting = [(prefix, folder, linked)]
    while waiting or links:
        if waiting:
            path, here, by_link = waiting.pop()
        else:
            (path, here), by_link = links.popleft(), True
            if here in seen:
                left_out.add(MET, f"{place}/{path}")
                continue
            seen.add(here)
        for name, identity, is_link in here.images:
            found.append(Found(path + name, identity, by_link or is_link))
        links += [(f"{path}{name}/", to) for name, (to, is_link) in here.folders.items() if is_link]
        for name, (inner, is_link) in reversed(here.folders.items()):
            if not is_link and inner not in seen:
                seen.add(inner)
                waiting.append((f"{path}{name}/", inner, by_link))
    return sorted(found, key=_walked) if any(file.linked for file in found) else found


def _walked(file: Found) -> list[tuple[bool, str]]:
    """A key that sorts a folder's files before its folders."""
    *folders, name = file.path.split("/")
    return [*((True, folder) for folder in folders), (False, name)]
