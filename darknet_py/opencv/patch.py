"""OpenCV's names given back to ``cv2.dnn``, and taken away again."""

from __future__ import annotations

from typing import Any

from darknet_py.errors import UnsupportedError
from darknet_py.find_cv2 import need_cv2
from darknet_py.opencv.indices import Indices

__all__ = ["NMSBoxes", "original", "patch", "restore"]

#: What each patched name was before; None: there was none. By (module's name, name).
_before: dict[tuple[str, str], Any] = {}


def patch() -> None:
    """Put Darknet back into ``cv2.dnn``: what scripts written for OpenCV 4 find there works until `restore`.

    ``readNetFromDarknet``, ``readNet``, ``Model``, ``DetectionModel`` and ``ClassificationModel`` (also as
    ``cv2.dnn_Model``...) read Darknet's files here and leave others to OpenCV; ``NMSBoxes`` returns indices that old
    scripts can read too.

    Raises
    ------
    UnsupportedError
        OpenCV is not installed.
    """
    cv2 = _cv2()
    from darknet_py.opencv import models, reading

    names: dict[tuple[str, str], Any] = {
        ("cv2.dnn", "readNetFromDarknet"): reading.readNetFromDarknet,
        ("cv2.dnn", "readNet"): reading.readNet,
        ("cv2.dnn", "NMSBoxes"): NMSBoxes,
    }
    for model in (models.Model, models.DetectionModel, models.ClassificationModel):
        names["cv2.dnn", model.__name__] = model
        names["cv2", f"dnn_{model.__name__}"] = model
    # Gone from OpenCV 5, and passed to setPreferableBackend by some scripts.
    names |= {("cv2.dnn", name): value for name, value in _CONSTANTS.items() if not hasattr(cv2.dnn, name)}
    for (module, name), value in names.items():
        place = _place(cv2, module)
        if (module, name) not in _before:
            _before[module, name] = getattr(place, name, None)
        setattr(place, name, value)


_CONSTANTS = {"DNN_BACKEND_HALIDE": 1}


def restore() -> None:
    """Undo `patch`: ``cv2.dnn`` is OpenCV's own again. Nets that were read stay usable."""
    cv2 = _cv2()
    while _before:
        (module, name), value = _before.popitem()
        place = _place(cv2, module)
        if value is None:
            delattr(place, name)
        else:
            setattr(place, name, value)


def original(name: str) -> Any:
    """What ``cv2.dnn`` has under a name without the patch."""
    cv2 = _cv2()
    found = _before.get(("cv2.dnn", name)) or getattr(cv2.dnn, name, None)
    if found is None:
        raise UnsupportedError(f"cv2.dnn of OpenCV {cv2.__version__} has no {name}")
    return found


def NMSBoxes(*arguments: Any, **named: Any) -> Any:
    """``cv2.dnn.NMSBoxes``, whose indices (n,) also answer like the rows (n, 1) of OpenCV before 4.5.4."""
    found = original("NMSBoxes")(*arguments, **named)
    return found.view(Indices) if len(found) else found


def _place(cv2: Any, module: str) -> Any:
    return cv2.dnn if module == "cv2.dnn" else cv2


def _cv2() -> Any:
    return need_cv2("darknet_py.opencv")
