"""Sizes of images: the side of a square, or height and width."""

Size = int | tuple[int, int]


def size_of(height: int, width: int) -> Size:
    """Return the side of a square as one number, else height and width."""
    return height if height == width else (height, width)


def sides(size: Size) -> tuple[int, int]:
    """Return height and width."""
    return (size, size) if isinstance(size, int) else (size[0], size[1])


def shown(size: Size) -> str:
    """Return height x width for messages."""
    return "{}x{}".format(*sides(size))
