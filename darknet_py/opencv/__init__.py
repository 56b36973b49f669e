"""Darknet networks for programs written for ``cv2.dnn``, which can no longer read them since OpenCV 5.

Three ways in:

- ``python -m darknet_py.opencv SCRIPT ARGS...`` runs a script as it is;
- ``import darknet_py.opencv``, before the net is read, gives ``cv2.dnn`` back what it had (see `patch`, `restore`);
- ``from darknet_py.opencv import readNetFromDarknet, DetectionModel`` takes the names and leaves ``cv2`` as it is.

Outputs, names of layers and boxes are those of OpenCV 4.
"""

from __future__ import annotations

import dis
import importlib
import runpy
import sys
from types import FrameType

from darknet_py.opencv.models import ClassificationModel, DetectionModel, Model
from darknet_py.opencv.net import Net
from darknet_py.opencv.patch import NMSBoxes, patch, restore
from darknet_py.opencv.reading import readNet, readNetFromDarknet

__all__ = [
    "ClassificationModel",
    "DetectionModel",
    "Model",
    "NMSBoxes",
    "Net",
    "patch",
    "readNet",
    "readNetFromDarknet",
    "restore",
]


def _leaves_cv2_alone() -> bool:
    """Whether ``from darknet_py.opencv import name`` is what imports this module, or anything inside it.

    So does ``python -m``, whose ``__main__`` patches and says in a line what is wrong. Nobody tells a module how it is
    imported; the instruction that does so is where its caller stands.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None and _is_of(frame.f_back, "importlib", importlib.__file__):
        frame = frame.f_back
    caller = frame.f_back
    if caller is None:
        return False
    if _is_of(caller, "runpy", runpy.__file__):
        return True
    names = None
    for instruction in dis.get_instructions(caller.f_code):
        if instruction.opname == "EXTENDED_ARG":  # where Python 3.10 stands is this part of the instruction
            continue
        if instruction.offset >= caller.f_lasti:
            name = str(instruction.argval)
            return instruction.opname == "IMPORT_NAME" and (
                name.startswith(f"{__name__}.") or (name == __name__ and names is not None)
            )
        names = instruction.argval
    return False


def _is_of(frame: FrameType, name: str, file: str | None) -> bool:
    """Whether a frame is one of a module of the standard library, which Python may have frozen."""
    return frame.f_code.co_filename == file or frame.f_code.co_filename.startswith(f"<frozen {name}")


if not _leaves_cv2_alone():
    patch()
