"""Making a prepared set, or going on with one that was interrupted.

It is made in `NAME-KEY.part`, where `finished` names the chunks that are written, each with its
SHA-256. These are checked and kept when a process was ended. The folder is renamed when all is on
the disk.
"""

import os
import time
from dataclasses import asdict
from datetime import datetime
from io import BytesIO
from pathlib import Path

import numpy
from PIL import __version__ as pillow
from tqdm import tqdm

from datamodules.chunks import Job, PixelFile, root_of
from datamodules.decode import BrokenFilesError
from datamodules.description import LABELS, PIXELS, DamagedError, Description
from datamodules.names import few
from datamodules.wanted import Wanted, made_of, say
from datamodules.workers import done, made
from minmax.errors import UserError
from minmax.files import discard, synchronise

PART, FINISHED = ".part", "finished"


def prepare(wanted: Wanted) -> None:
    """Make a prepared set; the caller holds its lock.

    Raises:
        UserError: images are broken, or the data changed while they were read.
        OSError: there is no room, or no permission.
    """
    part, start = wanted.home.with_suffix(PART), time.monotonic()
    _tell_of_older(wanted)
    file = PixelFile(part / PIXELS, wanted.shape)
    kept = _begin(part, file)
    new = wanted.shape[0] - sum(len(file.images(chunk)) for chunk in kept)
    digests = _make(wanted, file, part, kept)
    labels = BytesIO()  # of a full disk numpy says how many it has written, but not why
    numpy.save(labels, numpy.asarray(wanted.labels, dtype=numpy.int64))
    (part / LABELS).write_bytes(labels.getbuffer())
    seconds = time.monotonic() - start
    Description(
        data=wanted.data,
        what=wanted.what,
        place=wanted.place,
        class_names=[*wanted.class_names],
        key=wanted.key,
        shape=wanted.shape,
        decoding=asdict(wanted.decoding),
        made_of=wanted.made_of,
        pixels=root_of(digests),
        labels=wanted.label_hash,
        made=datetime.now().astimezone().isoformat(timespec="seconds"),
        rate=round(new / seconds, 1),
        pillow=pillow,
    ).write(part)
    (part / FINISHED).unlink()
    for name in os.listdir(part):
        synchronise(part / name)
    discard(wanted.home)  # a damaged one
    os.replace(part, wanted.home)
    synchronise(wanted.home.parent)
    say(
        f"Prepared {new:,} {wanted.what} in {seconds:,.1f} s ({new / seconds:,.0f} images/s): "
        f"{file.bytes / 1e6:,.1f} MB in {wanted.home}"
    )


def _begin(part: Path, file: PixelFile) -> dict[int, str]:
    """Make the folder and the file, or find what an interrupted process has left.

    Returns:
        The finished chunks with their SHA-256.
    """
    there = part.is_dir()
    part.mkdir(parents=True, exist_ok=True)
    try:
        if there and file.path.exists() and file.path.stat().st_size == file.bytes:
            kept = _finished(part)
        else:
            discard(part / FINISHED)
            kept = {}
        file.allocate()
    except OSError:
        discard(part)
        raise
    return {c: digest for c, digest in done(file.digest, [*kept]) if digest == kept[c]}


def _finished(part: Path) -> dict[int, str]:
    """The chunks that the journal names; its last line may be cut off."""
    finished = {}
    try:
        for line in (part / FINISHED).read_text(errors="replace").splitlines():
            number, _, digest = line.partition(" ")
            if number.isdecimal() and len(digest) == 64:
                finished[int(number)] = digest
    except FileNotFoundError:
        pass
    return finished


def _make(wanted: Wanted, file: PixelFile, part: Path, digests: dict[int, str]) -> list[str]:
    """Make the chunks that are left; the SHA-256 of all."""
    job = Job(file, wanted.source, wanted.decoding)
    left = [chunk for chunk in file.chunks if chunk not in digests]
    done = sum(len(file.images(chunk)) for chunk in digests)
    broken: dict[int, str] = {}
    bar = tqdm(
        total=wanted.shape[0],
        initial=done,
        desc=f"Preparing {wanted.what}",
        unit="image",
        delay=1,
    )
    try:
        with bar, (part / FINISHED).open("a") as journal:
            for chunk, (digest, wrong) in made(job, left):
                broken |= wrong
                if not wrong:
                    digests[chunk] = digest
                    print(chunk, digest, file=journal, flush=True)
                bar.update(len(file.images(chunk)))
    except KeyboardInterrupt:
        done = sum(len(file.images(chunk)) for chunk in digests)
        say(f"Interrupted: the next start goes on after {done:,} of {wanted.shape[0]:,} images.")
        raise
    source = wanted.source
    errors = BrokenFilesError({source.name(index): broken[index] for index in sorted(broken)})
    _refuse_changes(wanted, part, errors)
    if broken:
        discard(part)
        raise errors
    return [digests[chunk] for chunk in file.chunks]


def _refuse_changes(wanted: Wanted, part: Path, errors: BrokenFilesError) -> None:
    """Refuse data that changed while they were read.

    Raises:
        UserError: they did.
    """
    try:
        changed = "" if made_of(wanted.source) == wanted.made_of else "files in it have changed"
    except UserError as error:
        changed = str(error)
    if changed:
        discard(part)
        named = few([f"{file} {reason}" for file, reason in errors.files.items()])
        raise UserError(
            f"{wanted.place}: {changed} while the {wanted.what} were prepared"
            f"{named and ' ('}{named}{named and ')'}. Begin again when nothing changes the data"
        )


def _tell_of_older(wanted: Wanted) -> None:
    """Say which sets of the same place are of no more use."""
    for folder in wanted.home.parent.glob(f"{wanted.data}-*"):
        try:
            other = Description.read(folder)
        except DamagedError:
            continue
        held = other.place, other.what, other.class_names, other.decoding
        asked = wanted.place, wanted.what, [*wanted.class_names], asdict(wanted.decoding)
        if held == asked and other.made_of != wanted.made_of:
            size = other.file(folder).bytes / 1e6
            say(
                f"The {wanted.what} in {wanted.place} are not those that were prepared on "
                f"{other.age}: others are made. If the earlier ones are of no more use, `python "
                f"cli.py prepare --delete {folder.name}` makes room of {size:,.1f} MB"
            )
