"""Batch norm folded away: what is left of it is a factor per filter and another bias. Beside ``weights``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["EPSILON", "fold"]

#: Darknet's, inside the square root.
EPSILON = 1e-5


def fold(
    arrays: Mapping[str, NDArray[Any]], epsilon: float = EPSILON
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(factor per filter, bias) with batch norm folded in double, as Darknet's ``fuse_conv_batchnorm``."""
    bias = arrays["biases"].astype(np.float64)
    if "scales" not in arrays:
        return np.ones_like(bias), bias
    with np.errstate(invalid="ignore", divide="ignore"):
        factor = arrays["scales"] / np.sqrt(arrays["variance"].astype(np.float64) + epsilon)
        return factor, bias - factor * arrays["mean"]
