"""PNG files without the texts in them."""

from io import BytesIO

_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")


def without_texts(encoded: str | bytes) -> bytes:
    """A PNG file without its texts and colour profile, of which Pillow refuses a megabyte or more.

    Programs that generate images store their settings in these texts. No pixel depends on them.

    Args:
        encoded: the file's path, or what it holds.
    """
    kept = BytesIO()
    with BytesIO(encoded) if isinstance(encoded, bytes) else open(encoded, "rb") as file:
        kept.write(file.read(8))
        while len(head := file.read(8)) == 8:
            length = int.from_bytes(head[:4]) + 4  # a checksum follows the data
            if head[4:] in _TEXTS:
                file.seek(length, 1)
            else:
                kept.write(head + file.read(length))
    return kept.getvalue()
