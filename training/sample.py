"""A picture with its true boxes: what the generators write, the data files hold and the augmentations change."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Sample"]


class Sample(NamedTuple):
    """One picture and the boxes in it.

    Attributes
    ----------
    image : uint8 array (H, W, 3)
        BGR.
    class_id : int64 array (n,)
    xyxy : float32 array (n, 4)
        Left, top, right, bottom in pixels; right and bottom lie outside, so an image-wide box ends at W.
    """

    image: NDArray[np.uint8]
    class_id: NDArray[np.int64]
    xyxy: NDArray[np.float32]

    def with_boxes(self, keep: NDArray[Any]) -> Sample:
        """The same picture with a selection of its boxes (mask or indices)."""
        return Sample(self.image, self.class_id[keep], self.xyxy[keep])
