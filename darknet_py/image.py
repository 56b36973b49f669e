"""The public door to `pictures`: ``load_image`` makes 8-bit RGB of whatever holds a picture, ``to_blob`` float32."""

from __future__ import annotations

from darknet_py.pictures.blob import LIKES, to_blob
from darknet_py.pictures.imagesource import ImageSource
from darknet_py.pictures.load import load_image

__all__ = ["LIKES", "ImageSource", "load_image", "to_blob"]
