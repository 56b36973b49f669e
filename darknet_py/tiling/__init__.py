"""Large pictures searched in overlapping tiles: read strip by strip, looked at tile by tile, merged across borders."""

from darknet_py.tiling.search import SCALES, Tiling, search
from darknet_py.tiling.strips import open_strips

__all__ = ["SCALES", "Tiling", "open_strips", "search"]
