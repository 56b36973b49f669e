"""What can go wrong, as one tree.

::

    DarknetError
    ├── CfgError            a .cfg, .names or .data file that cannot be read as one
    ├── UnsupportedError    a valid cfg that asks for what this runtime does not do
    ├── WeightsError        a .weights file that does not belong to its cfg
    ├── ImageError          an image that cannot be read or has an impossible shape
    ├── VideoError          a video, camera or stream that cannot be opened, breaks off, or cannot be written
    ├── DownloadError       a model's files that are not here and could not be brought here
    ├── OutputError         a disk that is full, or fails, while something is written to it
    └── OptionError         an argument outside what the call accepts

Every message says where, what was found, what was expected and what to do.
"""

from __future__ import annotations

__all__ = [
    "CfgError",
    "DarknetError",
    "DownloadError",
    "ImageError",
    "OptionError",
    "OutputError",
    "UnsupportedError",
    "VideoError",
    "WeightsError",
]


class DarknetError(Exception):
    """Root of every error this package raises on bad input."""


class CfgError(DarknetError, ValueError):
    """A cfg, names or data file cannot be read as one; names file, line and section."""


class UnsupportedError(DarknetError, NotImplementedError):
    """A well-formed cfg asks for something this runtime does not do."""


class WeightsError(DarknetError, ValueError):
    """A weights file does not hold what its cfg describes."""


class ImageError(DarknetError, ValueError):
    """An image cannot be read, or its shape cannot be an image's."""


class VideoError(DarknetError, ValueError):
    """A video, a camera or a stream cannot be opened, breaks off or stalls, or a video cannot be written."""


class DownloadError(DarknetError, OSError):
    """A model's files are not here, or not what they should be, and could not be brought here."""


class OutputError(DarknetError, OSError):
    """What was to be written did not get onto the disk, which is full or fails."""


class OptionError(DarknetError, ValueError):
    """An argument lies outside what the call accepts."""
