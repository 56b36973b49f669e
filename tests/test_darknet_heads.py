"""`get_network_boxes` of the older heads, [region] and [detection], against naive code: all boxes, in pixels."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import naive_boxes
import numpy as np
import pytest
from networks import TinyNetwork

from darknet_py import darknet

ANCHORS = "1.5,2, 0.7,1.1"
WIDTH, HEIGHT, CLASSES = 24, 40, 3
THRESH = 0.1


def region() -> tuple[TinyNetwork, list[dict[str, Any]]]:
    tiny = TinyNetwork((3, HEIGHT, WIDTH), seed=6)
    tiny.add("convolutional", {"filters": 2 * (5 + CLASSES), "size": 8, "stride": 8, "activation": "linear"})
    head = tiny.add("region", {"classes": CLASSES, "num": 2, "anchors": ANCHORS, "softmax": 1})
    anchors = [float(number) for number in ANCHORS.split(",")]
    return tiny, naive_boxes.region_boxes(head.transpose(1, 2, 0), anchors, 2, CLASSES, THRESH)


def detection() -> tuple[TinyNetwork, list[dict[str, Any]]]:
    tiny = TinyNetwork((3, HEIGHT, WIDTH), seed=6)
    tiny.add("connected", {"output": 3 * 3 * (2 * 5 + CLASSES), "activation": "logistic"})
    head = tiny.add("detection", {"classes": CLASSES, "coords": 4, "num": 2, "side": 3, "sqrt": 1})
    return tiny, naive_boxes.detection_boxes(head.ravel(), 3, 2, CLASSES, THRESH, sqrt=True)


@pytest.mark.parametrize("relative", [0, 1])
@pytest.mark.parametrize(("made", "count"), [(region, 3 * 5 * 2), (detection, 3 * 3 * 2)])
def test_boxes_are_in_pixels_of_the_size_that_is_given(tmp_path: Path, made: Any, count: int, relative: int) -> None:
    tiny, boxes = made()
    cfg, weights = tiny.write(tmp_path)
    network = darknet.load_net_custom(str(cfg).encode(), str(weights).encode(), 0, 1)
    darknet.network_predict(network, np.ascontiguousarray(tiny.blob))
    num = ctypes.pointer(ctypes.c_int(0))
    # Of a picture of another size: boxes are its pixels, or shares of it.
    found = darknet.get_network_boxes(network, 320, 100, THRESH, 0.5, None, relative, num, 0)
    # Darknet counts every box of every cell, those below the threshold with probabilities of 0.
    assert num[0] == count
    rows = darknet.remove_negatives(found, "abc", num[0])
    scale = np.ones(4) if relative else np.array((320, 100, 320, 100))
    wanted = [
        ("abc"[k], prob, np.array([box[key] for key in "xywh"]) * scale)
        for box in boxes
        for k, prob in enumerate(box["probs"])
        if prob > 0
    ]
    assert [name for name, _, _ in rows] == [name for name, _, _ in wanted] and rows
    np.testing.assert_allclose([prob for _, prob, _ in rows], [prob for _, prob, _ in wanted], rtol=1e-4)
    np.testing.assert_allclose([box for _, _, box in rows], [box for _, _, box in wanted], rtol=1e-4, atol=1e-4)
