"""Many pictures on many machines: detectors as a stage of Ray Data (extra ``ray``).

Rows flow through ``worker`` (an actor with one Detector) → ``fetching`` (an address or bytes to pixels) → ``columns``
(detections as columns). ``stage`` puts actors between two datasets; ``archive`` writes a Parquet file a block into a
folder (``blockfolder``), from which a later run goes on. ``carried`` takes the model's files to where they are not.
"""

from __future__ import annotations

from darknet_py.ray.archive import Summary, detect_to_parquet
from darknet_py.ray.columns import detections_of
from darknet_py.ray.stage import detect

__all__ = ["Summary", "detect", "detect_to_parquet", "detections_of"]
