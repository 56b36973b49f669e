"""OpenCV where there is one: whichever of its packages is installed, imported when first needed, or none."""

from __future__ import annotations

import importlib
import logging
import os
from functools import cache
from types import ModuleType
from typing import NamedTuple

from darknet_py.errors import UnsupportedError

__all__ = ["find_cv2", "need_cv2", "need_cv2_for_video"]

_log = logging.getLogger(__name__)


class _Import(NamedTuple):
    """What became of ``import cv2``: the module, or why there is none."""

    module: ModuleType | None
    cause: str = ""


def find_cv2() -> ModuleType | None:
    """cv2, of opencv-python, -headless or -contrib; None where it is missing or fails to load."""
    return _import().module


def need_cv2_for_video(purpose: str) -> ModuleType:
    """`need_cv2`, whose FFmpeg keeps to itself what it thinks of a video, unless it was used before or told otherwise.

    Raises
    ------
    UnsupportedError
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    return need_cv2(purpose)


def need_cv2(purpose: str) -> ModuleType:
    """cv2, for what cannot do without it.

    Parameters
    ----------
    purpose : str
        What needs it, such as ``like='opencv'``: begins the message.

    Raises
    ------
    UnsupportedError
        Saying why cv2 cannot be imported, and what to install.
    """
    found = _import()
    if found.module is None:
        raise UnsupportedError(
            f"{purpose} needs OpenCV, but cv2 cannot be imported ({found.cause}): pip install opencv-python "
            "(on a machine without a screen: pip install opencv-python-headless)"
        )
    return found.module


# Once only: after a failure cv2 says something else the second time ("recursion is detected").
@cache
def _import() -> _Import:
    try:
        module = importlib.import_module("cv2")
    except ModuleNotFoundError as error:
        return _Import(None, _one_line(error))
    # libGL is missing (ImportError), or cv2 was built for another NumPy (ImportError, AttributeError, SystemError).
    except Exception as error:
        cause = _one_line(error)
    else:
        if hasattr(module, "imdecode"):
            return _Import(module)
        cause = "its folder is there but empty"  # two OpenCV packages share it, and one was uninstalled
    _log.info("cv2 cannot be imported (%s): Pillow decodes pictures", cause)
    return _Import(None, cause)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
