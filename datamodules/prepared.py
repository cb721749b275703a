"""Prepared sets: images decoded once, into a file that all processes of the machine map.

A set lies in a folder `NAME-KEY` of the cache: `images.npy`, uint8 `[N, H, W, C]`, `labels.npy`,
and `description.json`. The key is a hash of all that the pixels depend on: names, sizes and times
of the files, the options of decoding, the labels, and a number of the format. So a set is found
only for what it was made of; when files change, another one is made. Its size and its description's
checksum are checked at each opening, its pixels by `python cli.py prepare --check`.

One process makes it, on all cores (`preparing.py`), and the others wait for that.
"""

import errno

from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from datamodules.description import DamagedError, Description
from datamodules.mapping import mapped
from datamodules.preparing import prepare
from datamodules.wanted import Wanted, home_of_sets, say
from minmax.errors import FULL, UserError
from minmax.lock import locked

REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT)


def prepared_images(wanted: Wanted) -> Tensor | None:
    """Map a prepared set, which is made if it isn't there.

    Returns:
        uint8 `[N, C, H, W]`, channels last in memory; None if there is none, and none can be
        written.

    Raises:
        UserError: images are broken, or there is no room.
    """
    images, damage = _opened(wanted)
    if images is not None:
        return images
    try:
        with locked(wanted.home.with_suffix(".lock"), wait=True):
            images, damage = _opened(wanted)  # another process may have made it
            if images is None:
                if damage:
                    say(f"{wanted.home} is damaged ({damage}): it is made anew")
                prepare(wanted)
                images, damage = _opened(wanted)
    except OSError as error:
        if error.errno in REFUSED or isinstance(error, FileExistsError | NotADirectoryError):
            rank_zero_info(
                f"{home_of_sets(wanted.folder)} can't be written ({error.strerror}): the "
                f"{wanted.what} are decoded at each start. Name another folder by "
                "--data.init_args.prepared, or set MINMAX_CACHE."
            )
            return None
        if error.errno not in FULL:
            raise
        raise UserError(
            f"there is no room for {wanted.file.bytes / 1e9:.3g} GB of prepared images in "
            f"{home_of_sets(wanted.folder)} ({error.strerror}): make room (`python cli.py prepare "
            "--list` shows what lies there), or name another folder by `prepared`, or set "
            "MINMAX_CACHE"
        ) from error
    if images is None:
        raise UserError(f"{wanted.home} was made, and can't be read ({damage}): check the disk")
    return images


def _opened(wanted: Wanted) -> tuple[Tensor | None, str]:
    """The mapped images of a set; else None, and how it is damaged if it is there."""
    if not wanted.home.is_dir():
        return None, ""
    try:
        found = Description.read(wanted.home)
        if found.key != wanted.key or found.shape != wanted.shape:
            raise DamagedError("it holds another set")
    except DamagedError as error:
        return None, str(error)
    return mapped(found.file(wanted.home)), ""
