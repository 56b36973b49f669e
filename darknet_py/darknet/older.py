"""`performDetect`, by which programs of 2018 to 2020 did everything in one call."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from darknet_py.darknet.detecting import Prediction, detect
from darknet_py.darknet.drawing import bbox2points
from darknet_py.darknet.images import path_of
from darknet_py.darknet.networks import load_meta, load_net_custom
from darknet_py.errors import OptionError
from darknet_py.find_cv2 import need_cv2

__all__ = ["performDetect"]


def performDetect(
    imagePath: Any = "data/dog.jpg",
    thresh: float = 0.25,
    configPath: Any = "./cfg/yolov4.cfg",
    weightPath: Any = "yolov4.weights",
    metaPath: Any = "./cfg/coco.data",
    showImage: bool = True,
    makeImageOnly: bool = False,
    initOnly: bool = False,
) -> Any:
    """Load a network once, kept in ``darknet.netMain``, ``metaMain`` and ``altNames``, and find objects in a picture.

    Parameters
    ----------
    imagePath, configPath, weightPath, metaPath : str, bytes or Path
    thresh : float
        Between 0 and 1, both exclusive.
    showImage : bool
        Draw the boxes on the picture. No window is opened: whoever wants one has the picture.
    makeImageOnly : bool
        Without effect.
    initOnly : bool
        Load the network and return None.

    Returns
    -------
    list of (name, confidence, (x, y, w, h))
        As `detect`, names as str; with `showImage` a dict of it as ``detections``, the picture in RGB as ``image``
        and a ``caption``.

    Raises
    ------
    OptionError
        A threshold, or a path at which there is no file; it is a ValueError.
    CfgError, WeightsError, ImageError
    """
    if not 0 < thresh < 1:
        raise OptionError(f"thresh={thresh}: expected a number between 0 and 1, exclusive")
    _load(configPath, weightPath, metaPath)
    if initOnly:
        return None
    module = _module()
    image = _existing(imagePath, "image")
    names = module.altNames
    found = detect(module.netMain, names, image, thresh)
    return _with_picture(found, image) if showImage else found


def _module() -> Any:
    return sys.modules["darknet_py.darknet"]


def _load(cfg: Any, weights: Any, data: Any) -> None:
    module = _module()
    paths = [_existing(path, what) for path, what in ((cfg, "config"), (weights, "weight"), (data, "data file"))]
    if module.netMain is None:
        module.netMain = load_net_custom(paths[0], paths[1], 0, 1)
    if module.metaMain is None:
        module.metaMain = load_meta(paths[2])
    if module.altNames is None:
        meta = module.metaMain
        module.altNames = [meta.names[i].decode() for i in range(meta.classes)]


def _existing(path: Any, what: str) -> Path:
    found = path_of(path)
    if not found.exists():
        raise OptionError(f"invalid {what} path {str(found.absolute())!r}: no such file")
    return found


def _with_picture(found: list[Prediction], path: Path) -> dict[str, Any]:
    """The detections with the picture that shows them: the surer, the greener."""
    from darknet_py.pictures.load import load_image

    cv2: Any = need_cv2("performDetect with showImage")
    picture = np.array(load_image(path))
    captions = []
    for name, confidence, box in found:
        left, top, right, bottom = bbox2points(box)
        color = (int(255 * (1 - confidence**2)), int(255 * confidence**2), 0)
        cv2.rectangle(picture, (left, top), (right, bottom), color, max(1, picture.shape[0] // 200))
        captions.append(f"{name}: {np.rint(100 * confidence)}%")
    return {"detections": found, "image": picture, "caption": "\n<br/>".join(captions)}
