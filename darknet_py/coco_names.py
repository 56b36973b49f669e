"""COCO's classes that have two names: Darknet kept those that Pascal VOC gave them."""

from __future__ import annotations

__all__ = ["NEWER_NAMES"]

#: As Darknet's coco.names spells them, to what the annotation files of 2017 have.
NEWER_NAMES = {
    "motorbike": "motorcycle",
    "aeroplane": "airplane",
    "tvmonitor": "tv",
    "sofa": "couch",
    "diningtable": "dining table",
    "pottedplant": "potted plant",
}
