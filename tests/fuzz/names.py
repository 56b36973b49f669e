"""The names of the targets, apart from what they import."""

__all__ = ["CONTAINERS", "NAMES"]

#: The first bytes of each container that is read.
CONTAINERS = {
    "jpeg": b"\xff\xd8\xff",
    "png": b"\x89PNG\r\n\x1a\n",
    "gif": b"GIF89a",
    "webp": b"RIFF",
    "avif": b"\0\0\0\x20ftypavif",
    "jp2": b"\0\0\0\x0cjP  \r\n\x87\n",
    "j2k": b"\xff\x4f\xff\x51",
    "tiff": b"II*\0",
    "tiff-big-endian": b"MM\0*",
    "bigtiff": b"II+\0",
    "bmp": b"BM",
    "netpbm": b"P",
    "sun": b"\x59\xa6\x6a\x95",
    "qoi": b"qoif",
    "dds": b"DDS ",
    "icns": b"icns",
    "sgi": b"\x01\xda",
    "ico": b"\0\0\1\0",
    "pcx": b"\n",
    "dib": b"\x28\0\0\0",
}

NAMES = (
    "cfg", "structured", "weights", "names", "data", "tree", "heads", "options", "picture",
    *(f"picture-{container}" for container in CONTAINERS),
)  # fmt: skip
