"""zxing-cpp, imported when first needed: what it reads in a view, in pixels of the picture."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darknet_py.codes.views import View
from darknet_py.errors import UnsupportedError

__all__ = ["Read", "modules_of", "need_zxing", "read_view"]


class Read(NamedTuple):
    """What was read once.

    Attributes
    ----------
    kind, text : str
    corners : ndarray, shape (4, 2), float64
        In pixels of the picture: from the code's top left clockwise.
    """

    kind: str
    text: str
    corners: NDArray[np.float64]


@cache
def need_zxing() -> ModuleType:
    """The module.

    Raises
    ------
    UnsupportedError
        It is not installed.
    """
    try:
        import zxingcpp
    except ImportError as error:
        raise UnsupportedError(
            f'reading codes needs zxing-cpp, which cannot be imported ({error}): pip install "darknet-numba[codes]"'
        ) from error
    module: ModuleType = zxingcpp
    return module


def read_view(view: View) -> list[Read]:
    """All that is read in a view and is no error."""
    module = need_zxing()
    # As it is, not for people: HRI would tell a control character as <GS>, and put brackets into what has none.
    found = module.read_barcodes(np.ascontiguousarray(view.pixels), text_mode=module.TextMode.Plain)
    return [Read(_kind(one), one.text, _corners(one.position) @ view.back.T) for one in found if one.valid and one.text]


#: Barcodes whose text says how they are printed, but for Code 128 of GS1 or with other choices of sets. Code 39, ITF
#: and Codabar have wide bars of 2 to 3 modules, and no check character that would tell a misread.
_ONE_PRINT = ("EAN", "UPC", "Code 128", "Code 93")


def modules_of(read: Read) -> NDArray[np.bool_] | None:
    """What a barcode is printed as: from left to right, which modules are light; None if its text does not tell."""
    if not read.kind.startswith(_ONE_PRINT):
        return None
    module = need_zxing()
    try:
        made = module.create_barcode(read.text, module.barcode_format_from_str(read.kind))
        printed = np.asarray(made.to_image(scale=1, add_quiet_zones=False))
    except ValueError:
        return None
    light: NDArray[np.bool_] = printed[len(printed) // 2] > 127
    return light


def _kind(found: Any) -> str:
    return str(found.format).removeprefix("BarcodeFormat.")


def _corners(place: Any) -> NDArray[np.float64]:
    corners = place.top_left, place.top_right, place.bottom_right, place.bottom_left
    # A corner names a pixel, whose middle it is.
    return np.array([(at.x + 0.5, at.y + 0.5, 1.0) for at in corners])
