"""The kinds of image file that are read."""

from PIL import Image, ImageFile


def _readable() -> dict[str, str]:
    """Suffixes in lower case and Pillow's names of their formats."""
    found = {}
    for suffix, kind in Image.registered_extensions().items():
        reader = Image.OPEN.get("JPEG" if kind == "MPO" else kind, (None,))[0]
        stub = isinstance(reader, type) and issubclass(reader, ImageFile.StubImageFile)
        # Ghostscript reads EPS, and runs what stands in it; of films Pillow knows the size alone.
        if reader is not None and not stub and kind not in ("EPS", "MPEG"):
            found[suffix] = "JPEG" if kind == "MPO" else kind
    return found


READABLE = _readable()
FORMATS = [kind for kind in Image.ID if kind in READABLE.values()]
"""What a file may hold, whatever its suffix, in the order in which Pillow tries them."""
UNREADABLE = {
    f".{name}"
    for names in (
        "avif avifs webp jp2 j2k jpx tif tiff",
        "heic heif jxl svg eps ps ai pdf wmf emf exr hdr xcf",
        "raw dng cr2 cr3 nef arw orf rw2 raf",
    )
    for name in names.split()
} - READABLE.keys()
"""Suffixes of images that this Pillow can't read: some only because of how it was built."""


def suffix_of(name: str) -> str:
    """A file name's suffix in lower case, with its dot."""
    stem, dot, end = name.rpartition(".")
    return (dot + end).lower() if stem else ""
