"""The words for files that give no pixels: unread, too large, cut short."""

from __future__ import annotations

from darknet_py.errors import ImageError

__all__ = ["check_size", "damaged", "unread"]

#: OpenCV's limit, for every container and decoder. Pillow's own is a sixth of it, after a warning at a twelfth.
MOST_PIXELS = 1 << 30


def check_size(width: int, height: int, where: str) -> None:
    """Before anything is allocated.

    Raises
    ------
    ImageError
        There are too many pixels, or none.
    """
    if width < 1 or height < 1:
        raise ImageError(f"{where}: cut short or damaged ({width}x{height} pixels): copy or download the file again")
    if width * height > MOST_PIXELS:
        raise ImageError(
            f"{where}: too large: {width}x{height} is {width * height} pixels, expected at most {MOST_PIXELS}: "
            "scale it down or cut it into tiles"
        )


def unread(where: str, what: str, cure: str) -> ImageError:
    """A whole picture, as far as one can tell, of a kind that is not read."""
    article = "an" if what[:1].lower() in "aeo" or what.startswith("SVG") else "a"
    return ImageError(f"{where}: {article} {what}, which is not read: {cure}")


def damaged(where: str, cause: object, size: int) -> ImageError:
    """Bytes that no decoder makes a whole picture of."""
    said = " ".join(str(cause).split()) or type(cause).__name__
    return ImageError(f"{where}: cut short or damaged ({said}; {size} bytes): copy or download the file again")
