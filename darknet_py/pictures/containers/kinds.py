"""What a file is by its first bytes, and who reads it: the one list of containers.

Pillow's decoders are the silent ones: OpenCV's libjpeg and libpng write to file descriptor 2, which no thread can catch
for itself. So OpenCV is asked only for what a Pillow may lack, and where Pillow's pixels are wrong.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["HEAD", "Kind", "begins_as_picture", "kind_of"]


class Kind(NamedTuple):
    """A container.

    `reader` is ``jpeg``, ``png``, ``tiff``, ``netpbm``, ``pillow`` (then `format` is Pillow's name of it), or empty
    where only a plugin of the user's may read it; `cure` says what to do then. `opencv` tells whether OpenCV may read
    it where Pillow does not: silently, and to the right pixels.
    """

    name: str
    reader: str = ""
    format: str = ""
    cure: str = "convert it to PNG or JPEG"
    opencv: bool = False
    picture: bool = True


_RAW = "develop it to JPEG, PNG or TIFF with the camera's program, or darktable"
_FLOAT = "its values are floats without a fixed range: map them to 0..255 and save them as PNG"
_DRAWING = "it is a drawing, without pixels: export it as PNG"

_AVIF = Kind("AVIF", "pillow", "AVIF", "pip install 'pillow>=11.3', or convert it to PNG or JPEG", opencv=True)
_HEIC = Kind(
    "HEIC",
    cure="convert it to JPEG, or pip install pillow-heif and call pillow_heif.register_heif_opener() first",
)
_JXL = Kind("JPEG XL", cure="convert it to PNG or JPEG, or pip install pillow-jxl-plugin and import pillow_jxl first")
_JP2 = Kind("JPEG 2000", "pillow", "JPEG2000", "convert it to PNG, or install a Pillow with OpenJPEG", opencv=True)
_TIFF = Kind("TIFF", "tiff")
_VIDEO = Kind("video", cure="take its frames with cv2.VideoCapture", picture=False)
_POSTSCRIPT = Kind("PostScript", cure=_DRAWING, picture=False)
_HDR = Kind("Radiance HDR", cure=_FLOAT)

#: (where, bytes there, what it is); the first that fits.
_MAGIC: tuple[tuple[int, bytes, Kind], ...] = (
    (0, b"\xff\xd8\xff", Kind("JPEG", "jpeg")),
    (0, b"\x89PNG\r\n\x1a\n", Kind("PNG", "png")),
    (0, b"GIF8", Kind("GIF", "pillow", "GIF", opencv=True)),
    (8, b"WEBP", Kind("WebP", "pillow", "WEBP", "convert it, or install a Pillow with WebP", opencv=True)),
    (8, b"CR\x02", Kind("Canon raw (CR2)", cure=_RAW)),
    (0, b"II*\0", _TIFF),
    (0, b"MM\0*", _TIFF),
    (0, b"II+\0", _TIFF),
    (0, b"MM\0+", _TIFF),
    (0, b"\0\0\0\x0cJXL \r\n\x87\n", _JXL),
    (0, b"\xff\x0a", _JXL),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n", _JP2),
    (0, b"\xff\x4f\xff\x51", _JP2),
    (0, b"\x59\xa6\x6a\x95", Kind("Sun raster", "pillow", "SUN", opencv=True)),
    (0, b"qoif", Kind("QOI", "pillow", "QOI")),
    (0, b"DDS ", Kind("DDS", "pillow", "DDS")),
    (0, b"icns", Kind("ICNS", "pillow", "ICNS")),
    (0, b"\x01\xda\0", Kind("SGI", "pillow", "SGI")),
    (0, b"\x01\xda\x01", Kind("SGI", "pillow", "SGI")),
    (0, b"#?RADIANCE", _HDR),
    (0, b"#?RGBE", _HDR),
    (0, b"\x76\x2f\x31\x01", Kind("OpenEXR", cure=_FLOAT)),
    (0, b"8BPS", Kind("Photoshop (PSD)", cure="export it as PNG or JPEG")),
    (0, b"gimp xcf", Kind("GIMP (XCF)", cure="export it as PNG or JPEG")),
    (0, b"II\xbc\x01", Kind("JPEG XR")),
    (0, b"BPG\xfb", Kind("BPG")),
    (0, b"FLIF", Kind("FLIF")),
    (0, b"\x8aMNG\r\n\x1a\n", Kind("MNG")),
    (0, b"\x8bJNG\r\n\x1a\n", Kind("JNG")),
    (0, b"FUJIFILMCCD-RAW", Kind("Fujifilm raw (RAF)", cure=_RAW)),
    (0, b"IIU\0", Kind("Panasonic raw (RW2)", cure=_RAW)),
    (0, b"IIRO", Kind("Olympus raw (ORF)", cure=_RAW)),
    (0, b"IIRS", Kind("Olympus raw (ORF)", cure=_RAW)),
    (0, b"FOVb", Kind("Sigma raw (X3F)", cure=_RAW)),
    (128, b"DICM", Kind("DICOM", cure="take its pixels with pydicom, scale them to 0..255 and pass the array")),
    (0, b"SIMPLE  =", Kind("FITS", cure="take its pixels with astropy, scale them to 0..255 and pass the array")),
    (0, b"AT&TFORM", Kind("DjVu")),
    (0, b"\xd7\xcd\xc6\x9a", Kind("WMF", cure=_DRAWING, picture=False)),
    (40, b" EMF", Kind("EMF", cure=_DRAWING, picture=False)),
    (0, b"%!PS", _POSTSCRIPT),
    (0, b"\xc5\xd0\xd3\xc6", _POSTSCRIPT),
    (0, b"%PDF", Kind("PDF", cure="export its pages as PNG", picture=False)),
    (8, b"AVI LIST", _VIDEO),
    (0, b"\x1a\x45\xdf\xa3", _VIDEO),
    (0, b"\x93NUMPY", Kind("NumPy array", cure="pass numpy.load(file)", picture=False)),
)

#: Of these the first bytes are too few to tell them from a text or from pixels, unless the ending agrees.
_WEAK: tuple[tuple[int, bytes, Kind], ...] = (
    (0, b"BM", Kind("BMP", "pillow", "BMP")),
    (0, b"\x28\0\0\0", Kind("DIB", "pillow", "DIB")),
    (0, b"\x6c\0\0\0", Kind("DIB", "pillow", "DIB")),
    (0, b"\x7c\0\0\0", Kind("DIB", "pillow", "DIB")),
    (0, b"\0\0\1\0", Kind("ICO", "pillow", "ICO")),
    (0, b"\n\0\1", Kind("PCX", "pillow", "PCX")),
    (0, b"\n\2\1", Kind("PCX", "pillow", "PCX")),
    (0, b"\n\3\1", Kind("PCX", "pillow", "PCX")),
    (0, b"\n\5\1", Kind("PCX", "pillow", "PCX")),
)

_NETPBM = re.compile(rb"P[1-6](?:\s|#[^\n]*\n)+\d")
_PAM = re.compile(rb"P7\s*\n")
_PFM = re.compile(rb"P[Ff]\s+\d")
_SVG = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml.*?\?>\s*)?(?:<!--.*?-->\s*)*<(?:!DOCTYPE\s+)?svg[\s>]", re.DOTALL | re.IGNORECASE
)

#: How much of a file `kind_of` looks at.
HEAD = 1024


def kind_of(data: bytes) -> Kind | None:
    """The container that the first bytes of `data` tell; None where they tell none (of TGA they never do)."""
    head = bytes(data[:HEAD])
    if head[4:8] == b"ftyp":
        return _by_brand(head)
    for at, magic, kind in _MAGIC + _WEAK:
        if head.startswith(magic, at) and (at != 8 or head.startswith((b"RIFF", b"II*\0"))):
            return kind
    if _NETPBM.match(head) or _PAM.match(head):
        return Kind("Netpbm", "netpbm")
    if _PFM.match(head):
        return Kind("PFM", cure=_FLOAT)
    if _SVG.match(head):
        return Kind("SVG", cure=_DRAWING, picture=False)
    return None


def begins_as_picture(head: bytes) -> bool:
    """Whether a file of any name is a picture for sure, read or not, by its first `HEAD` bytes."""
    kind = kind_of(head)
    if kind is None or not kind.picture:
        return False
    return (kind.format == "BMP" and head[6:10] == bytes(4)) or all(kind is not weak for _, _, weak in _WEAK)


def _by_brand(head: bytes) -> Kind:
    """ISO base media: the major brand and the compatible ones say what is in the box."""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    brands = {head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))}
    if brands & {b"avif", b"avis"}:
        return _AVIF
    if brands & {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}:
        return _HEIC
    return Kind("Canon raw (CR3)", cure=_RAW) if b"crx " in brands else _VIDEO
