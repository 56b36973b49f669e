"""OpenCV taken away from a test."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from darknet_py import find_cv2


@contextmanager
def without_cv2() -> Iterator[None]:
    """``import cv2`` fails, as where OpenCV is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "cv2", None)
        find_cv2._import.cache_clear()
        try:
            yield
        finally:
            find_cv2._import.cache_clear()
