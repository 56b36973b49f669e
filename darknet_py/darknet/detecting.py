"""From an image to what a script wants to know of it: `detect_image`, and the older `detect` and `classify`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from darknet_py.boxes.nms import suppress
from darknet_py.darknet.boxes import find_candidates
from darknet_py.darknet.images import planes_of, read_planes, resized
from darknet_py.darknet.networks import LoadedNetwork, network_of, predict_image
from darknet_py.darknet.structures import IMAGE, METADATA
from darknet_py.pictures.geometry import Geometry

__all__ = ["classify", "decode_detection", "detect", "detect_image"]

Prediction = tuple[Any, float, tuple[float, float, float, float]]


def detect_image(
    network: Any,
    class_names: Any,
    image: IMAGE,
    thresh: float = 0.5,
    hier_thresh: float = 0.5,
    nms: float = 0.45,
    debug: bool = False,
) -> list[Any]:
    """Find objects in an image.

    Parameters
    ----------
    network : LoadedNetwork
    class_names : sequence of str, or METADATA
        One name per class; classes beyond the last name are not reported.
    image : IMAGE
        As `make_image` and `copy_image_from_bytes` give it; resized by Darknet's ``resize_image`` if it is not of the
        network's size.
    thresh : float
        Lowest confidence to report, exclusive.
    hier_thresh : float
        Without effect, as in AlexeyAB's library.
    nms : float
        IoU above which the less confident of two boxes of a class is dropped, whatever the cfg's ``nms_kind`` says;
        0 drops none.
    debug : bool
        Without effect.

    Returns
    -------
    list of (name, confidence, (x, y, w, h))
        Confidence in percent as text, such as ``"98.77"``; centre, width and height in pixels of `image`. In ascending
        order of that text, as the module has it: ``"100.0"`` is first, ``"9.5"`` after ``"85.0"``.
        With METADATA, as in versions up to 2020: what `detect` returns.

    Raises
    ------
    OptionError
        The image was freed, has other channels than the network, or a threshold is outside [0, 1].
    """
    loaded = network_of(network)
    planes = resized(planes_of(image), *loaded.size)
    found = _find(loaded, class_names, planes, (image.w, image.h), thresh, nms)
    if isinstance(class_names, METADATA):
        return sorted(found, key=_descending)
    return sorted(decode_detection(found), key=lambda detection: detection[1])


def detect(
    net: Any,
    meta: Any,
    image: Any,
    thresh: float = 0.5,
    hier_thresh: float = 0.5,
    nms: float = 0.45,
    debug: bool = False,
    *,
    like: str = "darknet.py",
) -> list[Prediction]:
    """Find objects in a picture file, as the module did it up to 2020.

    Parameters
    ----------
    net : LoadedNetwork
    meta : METADATA, or sequence of names
    image : bytes, str, Path or IMAGE
        A file, or an image of any size.
    thresh, hier_thresh, nms, debug
        As those of `detect_image`.
    like : {"darknet.py", "darknet"}
        How a file is resized: by ``cv2.INTER_LINEAR``, as the scripts of today do it before `detect_image`, or by
        Darknet's own ``resize_image``, as the C library did it here, and as an IMAGE is resized.

    Returns
    -------
    list of (name, confidence, (x, y, w, h))
        The name as bytes (as `meta` holds it), the confidence from 0 to 1, the box in pixels of the picture; the most
        confident first.

    Raises
    ------
    ImageError, OptionError
    """
    loaded = network_of(net)
    if isinstance(image, IMAGE):
        planes, size = resized(planes_of(image), *loaded.size), (image.w, image.h)
    else:
        planes, size = read_planes(image, *loaded.size, loaded.network.graph.blob.c, like)
    return sorted(_find(loaded, meta, planes, size, thresh, nms), key=_descending)


def _descending(prediction: Prediction) -> float:
    return -prediction[1]


def _find(
    loaded: LoadedNetwork,
    names: Any,
    planes: npt.NDArray[np.float32],
    size: tuple[int, int],
    thresh: float,
    nms: float,
) -> list[Prediction]:
    """Every box and class, in the order in which Darknet leaves them, in pixels of an image of that size."""
    names = _names(names)
    maps, _ = loaded.predict(planes)
    found = find_candidates(loaded, maps, Geometry(*size, *loaded.size), thresh)
    found = replace(found, probs=found.probs[:, : len(names)])
    found = suppress(found, nms=nms)
    boxes = (found.cxcywh * np.array(size * 2, np.float32)).tolist()
    return [
        (names[k], float(found.probs[box, k]), tuple(boxes[box]))
        for box, k in zip(*np.nonzero(found.probs > 0), strict=True)
    ]


def _names(names: Any) -> Sequence[Any]:
    return [names.names[i] for i in range(names.classes)] if isinstance(names, METADATA) else list(names)


def decode_detection(detections: Iterable[Prediction]) -> list[tuple[str, str, Any]]:
    """The same with names as text and confidences as text in percent, rounded to two decimals."""
    return [(str(label), str(round(confidence * 100, 2)), bbox) for label, confidence, bbox in detections]


def classify(net: Any, meta: Any, im: IMAGE) -> list[tuple[Any, float]]:
    """(name, probability) of every class of a classifier, the likeliest first."""
    output = predict_image(net, im)
    return sorted(zip(_names(meta), output, strict=False), key=lambda pair: -pair[1])
