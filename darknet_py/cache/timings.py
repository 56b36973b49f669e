"""Measured seconds on disk: what algorithm takes how long for what shape of layer."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Mapping, Set

from darknet_py.cache.places import Layer
from darknet_py.cache.trust import read_file, write_file

__all__ = ["FILE", "read_timings", "write_timings"]

_log = logging.getLogger(__name__)

#: Beside the compiled kernels, which they belong to.
FILE = "algorithms.json"


def read_timings(layer: Layer, names: Set[str], always: str) -> dict[str, dict[str, float]]:
    """Seconds by shape and name as a folder has them; what is damaged there counts as never measured.

    Parameters
    ----------
    layer : Layer
    names : set of str
        All there are: others are another version's.
    always : str
        The one that was measured for every shape.
    """
    try:
        found = json.loads(read_file(layer.folder / FILE, layer.named))
        return {shape: timings for shape, timings in found.items() if _is_whole(timings, names, always)}
    except FileNotFoundError:
        return {}
    except Exception as error:  # not text, not JSON, nesting without end, somebody else's
        _log.info("%s cannot be used (%r): measured again", layer.folder / FILE, error)
        return {}


def _is_whole(timings: object, names: Set[str], always: str) -> bool:
    return (
        isinstance(timings, dict)
        and always in timings
        and names >= timings.keys()
        and all(isinstance(seconds, float) and 0 < seconds < math.inf for seconds in timings.values())
    )


def write_timings(layer: Layer, timings: Mapping[str, Mapping[str, float]]) -> None:
    """Keep them; where that fails they are measured again next time."""
    try:
        write_file(layer.folder / FILE, json.dumps(timings, indent=1, sort_keys=True).encode())
    except OSError as error:
        _log.info("%s cannot be written (%s)", layer.folder / FILE, error.strerror or error)
