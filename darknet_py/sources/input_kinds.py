"""What a name on the command line stands for, by its form, its ending and, where it is a file, its first bytes."""

from __future__ import annotations

import os
import re
from urllib.parse import urlsplit, urlunsplit

from darknet_py.draw.imagewriter import IMAGE_SUFFIXES
from darknet_py.pictures.containers.kinds import HEAD, begins_as_picture, kind_of

__all__ = [
    "VIDEO_SUFFIXES",
    "begins_as_video",
    "camera_number",
    "is_address",
    "is_fetched",
    "is_list",
    "is_picture",
    "is_picture_file",
    "is_stream",
    "is_video_file",
    "named_as_picture",
    "named_as_video",
    "scheme_of",
    "without_password",
]

#: What counts as a picture in a directory by its name, read or not: one that is not gets its line. Files of other
#: names count if they begin as a picture does; a file named on the command line is tried whatever its name.
_PICTURES = frozenset({
    *IMAGE_SUFFIXES,
    ".apng", ".avif", ".avifs", ".bpg", ".cr2", ".cr3", ".dcm", ".dds", ".dib", ".dng", ".exr", ".gif", ".hdr",
    ".heic", ".heics", ".heif", ".heifs", ".hif", ".icns", ".ico", ".j2c", ".j2k", ".jfi", ".jfif", ".jif", ".jp2",
    ".jpc", ".jpe", ".jpf", ".jpx", ".jxl", ".jxr", ".mpo", ".nef", ".orf", ".arw", ".pam", ".pbm", ".pcx", ".pfm",
    ".pgm", ".pnm", ".ppm", ".psd", ".qoi", ".raf", ".ras", ".rw2", ".sgi", ".sr", ".tga", ".tif", ".tiff",
    ".wdp", ".xcf",
})  # fmt: skip

VIDEO_SUFFIXES = frozenset({
    ".264", ".265", ".3g2", ".3gp", ".asf", ".avi", ".divx", ".f4v", ".flv", ".h264", ".h265", ".hevc", ".ivf", ".m2ts",
    ".m4v", ".mjpeg", ".mjpg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".qt", ".vob", ".webm",
    ".wmv", ".y4m",
})  # fmt: skip

_PLAYLISTS = frozenset({".m3u8", ".mpd"})
_LISTS = frozenset({".txt", ".list", ".lst"})

#: Of addresses that are always streams.
_STREAMS = frozenset({"rtsp", "rtsps", "rtmp", "rtmps", "udp", "rtp", "srt", "tcp"})
_FILES = frozenset({"http", "https"})

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://", re.ASCII)
_PASSWORD = re.compile(r"(://[^/:@]*):[^/]*@")
_DEVICE = re.compile(r"/dev/video\d{1,4}")

#: (where, bytes there) of videos beside those that `kind_of` knows.
_MAGIC = (
    (0, b"FLV\1"),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11"),  # ASF, WMV
    (0, b"\0\0\1\xba"),  # MPEG program stream
    (0, b"\0\0\1\xb3"),  # MPEG video
    (0, b"YUV4MPEG2"),
    (0, b"DKIF"),
    (0, b"\x06\x0e\x2b\x34\x02\x05\x01\x01"),  # MXF
    (4, b"moov"),
    (4, b"mdat"),
    (4, b"wide"),
    (4, b"free"),
)
_TS_PACKET = 188


def is_address(name: str) -> bool:
    """Whether the name has a scheme, known or not, such as ``http://``."""
    return _ADDRESS.match(name) is not None


def scheme_of(name: str) -> str:
    """The scheme of an address, in small letters."""
    found = _ADDRESS.match(name)
    return found[1].lower() if found else ""


def is_stream(name: str) -> bool:
    """Whether an address can only be a stream's."""
    return scheme_of(name) in _STREAMS


def is_fetched(name: str) -> bool:
    """Whether an address is one of the web, at which there may be a picture, a video or a stream."""
    return scheme_of(name) in _FILES


def without_password(name: str) -> str:
    """An address as it may be shown and written to files; other names as they are."""
    if not is_address(name):
        return name
    try:
        parts = urlsplit(name)
        if parts.password is None:
            return name
    except ValueError:  # such as http://[::1: what looks like a password is none to show, either
        return _PASSWORD.sub(r"\1@", name)
    user, _, host = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}@{host}"))


def suffix_of(name: str) -> str:
    """The ending of a path, or of the path of an address, in small letters."""
    path = name
    if is_address(name):
        try:
            path = urlsplit(name).path
        except ValueError:  # whoever opens it says what is wrong with it
            return ""
    return os.path.splitext(path)[1].lower()


def named_as_picture(name: str) -> bool:
    """Whether a path or address has a picture's ending."""
    return suffix_of(name) in _PICTURES


def named_as_video(name: str) -> bool:
    """Whether a path or address has the ending of a video or of a playlist."""
    return suffix_of(name) in VIDEO_SUFFIXES or suffix_of(name) in _PLAYLISTS


def camera_number(name: str) -> int | None:
    """The camera that a number, or a device of Linux's, stands for, unless a file has this name."""
    if re.fullmatch(r"\d{1,3}", name, re.ASCII) and not os.path.lexists(name):
        return int(name)
    if _DEVICE.fullmatch(name):
        return int(name.removeprefix("/dev/video"))
    return None


def is_list(path: str) -> bool:
    """Whether a file lists paths: by its ending, and no picture's bytes."""
    return suffix_of(path) in _LISTS and os.path.isfile(path) and not begins_as_picture(_head(path))


def is_picture(name: str) -> bool:
    """Whether a name stands for one picture, as far as it tells."""
    if is_address(name):
        return is_fetched(name) and named_as_picture(name)
    return name != "-" and camera_number(name) is None and not is_video_file(name)


def is_picture_file(path: str) -> bool:
    """Whether an entry of a directory is a picture by its name or, failing that, by its first bytes.

    A broken link with a picture's name is one: it gets its line.
    """
    if suffix_of(path) in _PICTURES:
        return os.path.isfile(path) or (os.path.islink(path) and not os.path.exists(path))
    return begins_as_picture(_head(path))


def is_video_file(path: str) -> bool:
    """Whether a file is a video: by its first bytes or, where they tell nothing, by its ending."""
    suffix = suffix_of(path)
    if suffix in _PICTURES and suffix not in IMAGE_SUFFIXES:
        return False  # CR3, AVIF and their like are boxes as MP4 is
    head = _head(path)
    if begins_as_video(head):
        return True
    return suffix in VIDEO_SUFFIXES and not begins_as_picture(head)


def begins_as_video(head: bytes) -> bool:
    """Whether the first `HEAD` bytes of a file are those of a video."""
    kind = kind_of(head)
    if kind is not None:
        return kind.name == "video"
    if head[:1] == b"G" and head[_TS_PACKET : _TS_PACKET + 1] == b"G" and head[2 * _TS_PACKET :][:1] == b"G":
        return True
    return any(head.startswith(magic, at) for at, magic in _MAGIC)


def _head(path: str) -> bytes:
    try:
        if not os.path.isfile(path):  # opening a pipe would wait for its writer
            return b""
        with open(path, "rb") as file:
            return file.read(HEAD)
    except (OSError, ValueError):  # nothing says what it is
        return b""
