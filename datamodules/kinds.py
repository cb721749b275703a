"""The kinds of image files that are read."""

from PIL import Image, ImageFile


def _readable() -> dict[str, str]:
    """Suffixes in lower case, each with Pillow's name of its format."""
    found = {}
    for suffix, kind in Image.registered_extensions().items():
        reader = Image.OPEN.get("JPEG" if kind == "MPO" else kind, (None,))[0]
        stub = isinstance(reader, type) and issubclass(reader, ImageFile.StubImageFile)
        # Pillow reads EPS by Ghostscript, which runs its code, and of films only the size.
        if reader is not None and not stub and kind not in ("EPS", "MPEG"):
            found[suffix] = "JPEG" if kind == "MPO" else kind
    return found


READABLE = _readable()
FORMATS = [kind for kind in Image.ID if kind in READABLE.values()]
"""Formats that a file may have, whatever its suffix, in the order in which Pillow tries them."""
UNREADABLE = {
    f".{name}"
    for names in (
        "avif avifs webp jp2 j2k jpx tif tiff",
        "heic heif jxl svg eps ps ai pdf wmf emf exr hdr xcf",
        "raw dng cr2 cr3 nef arw orf rw2 raf",
    )
    for name in names.split()
} - READABLE.keys()
"""Suffixes of images that this Pillow can't read; another build may read some of them."""


def suffix_of(name: str) -> str:
    """A file name's suffix in lower case, with its dot."""
    stem, dot, end = name.rpartition(".")
    return (dot + end).lower() if stem else ""
