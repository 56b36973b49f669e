"""The words for files that give no pixels: unread, too large, cut short."""

from __future__ import annotations

from darknet_py.errors import ImageError
from darknet_py.limits import Limits, cure_of

__all__ = ["check_pixels", "check_size", "damaged", "no_fourth", "unread"]


def check_size(width: int, height: int, where: str, limit: str = "max_pixels") -> None:
    """Before anything is allocated, for every container and decoder, whatever limits they have of their own.

    `limit` is the one of `Limits` that bounds the picture.

    Raises
    ------
    ImageError
        There are too many pixels, or none.
    """
    if width < 1 or height < 1:
        raise ImageError(f"{where}: cut short or damaged ({width}x{height} pixels): copy or download the file again")
    check_pixels(width * height, f"{where}: too large: {width}x{height} is", limit)


def check_pixels(count: int, begin: str, limit: str = "max_pixels") -> None:
    """As `check_size`, where only the number is known; the message begins with `begin`."""
    most = getattr(Limits.current(), limit)
    if count > most:
        raise ImageError(
            f"{begin} {count} pixels, expected at most {most}: scale it down or cut it into tiles, or "
            f"allow more with {cure_of(limit)}"
        )


def no_fourth(where: str) -> ImageError:
    """A picture of three channels, or fewer, for a network of four."""
    return ImageError(
        f"{where}: it has no fourth channel, expected R, G, B and another (RGBA), as the network has channels=4: save "
        "it as PNG with alpha"
    )


def unread(where: str, what: str, cure: str) -> ImageError:
    """A whole picture, as far as one can tell, of a kind that is not read."""
    article = "an" if what[:1].lower() in "aeo" or what.startswith("SVG") else "a"
    return ImageError(f"{where}: {article} {what}, which is not read: {cure}")


def damaged(where: str, cause: object, size: int) -> ImageError:
    """Bytes that no decoder makes a whole picture of."""
    said = " ".join(str(cause).split()) or type(cause).__name__
    return ImageError(f"{where}: cut short or damaged ({said}; {size} bytes): copy or download the file again")
