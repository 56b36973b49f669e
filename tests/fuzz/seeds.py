"""What fuzzing begins with: small valid files of every kind, and a grammar of cfgs that bytes choose from."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator

import numpy as np
from PIL import Image

__all__ = ["HEADS_CFG", "WEIGHTS_CFGS", "cfg_of", "seeds_of"]

WEIGHTS_CFGS = (
    "[net]\nwidth=8\nheight=8\nchannels=1\n[convolutional]\nfilters=1\nsize=1\n",
    "[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nfilters=2\nsize=3\nbatch_normalize=1\n"
    "[convolutional]\nfilters=2\nsize=1\nflipped=1\n[connected]\noutput=2\n",
    "[net]\nwidth=8\nheight=8\nchannels=3\n[maxpool]\nsize=2\nstride=2\n",
    "[net]\nwidth=32\nheight=32\nchannels=3\n[convolutional]\nfilters=6\nsize=1\nstride=32\n[yolo]\nclasses=1\n"
    "anchors=3,4\n",
)

HEADS_CFG = (
    "[net]\nwidth=96\nheight=64\nchannels=3\n"
    "[convolutional]\nfilters=14\nsize=3\nstride=32\npad=1\n[yolo]\nclasses=2\nnum=2\nanchors=3,4,50,60\n"
    "[convolutional]\nfilters=22\nsize=1\n[Gaussian_yolo]\nclasses=2\nnum=2\nanchors=3,4,50,60\n"
    "[convolutional]\nfilters=14\nsize=1\n[region]\nclasses=2\nnum=2\nanchors=1,2,3,4\nsoftmax=1\n"
    "[convolutional]\nfilters=14\nsize=1\n[yolo]\nclasses=2\nnum=2\nanchors=3,4,50,60\nnew_coords=1\n"
)

_SECTIONS = """
    convolutional convolutional convolutional maxpool avgpool local_avgpool route shortcut upsample reorg reorg3d
    scale_channels sam dropout softmax cost connected yolo Gaussian_yolo region net lstm [[x]] local detection crop
    batchnorm activation normalization implicit empty contrastive l2norm logistic deconvolutional iseg
""".split()
_KEYS = """
    filters size stride pad padding groups dilation batch_normalize activation layers from group_id classes num mask
    anchors scale_x_y stride_x stride_y antialiasing xnor share_index flipped bin_output weights_type
    weights_normalization out_channels maxpool_depth output reverse scale temperature softmax nms_kind beta_nms
    new_coords yolo_point tree coords scale_wh width height channels inputs letter_box spatial ratio probability
    dropblock classfix side sqrt crop_width crop_height noadjust alpha beta kappa atoms ids
""".split()
_VALUES = """
    0 1 2 3 4 5 6 7 8 12 16 17 24 32 64 -1 -2 -3 -4 1e3 0.5 -0.1 1.05 nan inf -inf 1e40 2147483647 -2147483648
    4294967296 1048576 99999999999999999999 -1,-2 -1,-3 0,1 1,2,3,4 10,14,23,27 3,4,5 ,, 1,,2 leaky mish linear
    swish logistic stair normalize_channels normalize_channels_softmax per_feature per_channel relu softmax
    greedynms diounms cornersnms default center left_top x x#y
""".split()
#: Keys that a section of this kind has, first of all.
_OWN = {
    "convolutional": "filters size stride pad groups activation batch_normalize dilation antialiasing".split(),
    "maxpool": "size stride padding stride_x maxpool_depth out_channels antialiasing".split(),
    "route": "layers groups group_id".split(),
    "shortcut": "from activation weights_type weights_normalization".split(),
    "local": "filters size stride pad activation".split(),
    "detection": "classes coords num side softmax sqrt".split(),
    "crop": "crop_width crop_height noadjust".split(),
    "deconvolutional": "filters size stride padding activation batch_normalize".split(),
    "implicit": "filters atoms".split(),
}


def cfg_of(data: bytes) -> str:
    """A cfg that `data` chooses: two bytes a line after the first three, which give the size."""
    width, height, channels = (1 + data[n] % most if len(data) > n else 4 for n, most in enumerate((40, 40, 20)))
    lines = [f"[net]\nwidth={width}\nheight={height}\nchannels={channels}"]
    kind, open_options = "", 0
    for first, second in zip(data[3::2], data[4::2], strict=False):
        if open_options == 0 or first >= 250:
            kind = _SECTIONS[first % len(_SECTIONS)]
            lines.append(f"[{kind}]")
            open_options = second % 8
            continue
        keys = _OWN.get(kind, _KEYS) if first < 160 else _KEYS
        lines.append(f"{keys[first % len(keys)]}={_VALUES[second % len(_VALUES)]}")
        open_options -= 1
    return "\n".join(lines)


def _picture() -> Image.Image:
    values = np.add.outer(np.arange(12) * 9, np.arange(17) * 7).astype(np.uint8)
    return Image.fromarray(np.stack([values, values[::-1], 255 - values], axis=2))


#: Pillow's name, options and modes of each container.
_SAVED: dict[str, tuple[str, dict[str, object], str]] = {
    "jpeg": ("JPEG", {}, "RGB L CMYK"),
    "png": ("PNG", {}, "RGB L P RGBA LA 1 I;16"),
    "gif": ("GIF", {}, "P L RGB"),
    "webp": ("WEBP", {}, "RGB RGBA"),
    "avif": ("AVIF", {}, "RGB RGBA"),
    "jp2": ("JPEG2000", {}, "RGB L RGBA"),
    "j2k": ("JPEG2000", {"no_jp2": True}, "RGB L"),
    "tiff": ("TIFF", {}, "RGB L 1 P CMYK I;16 RGBA"),
    "bmp": ("BMP", {}, "RGB L 1 P"),
    "netpbm": ("PPM", {}, "RGB L 1 I;16"),
    "qoi": ("QOI", {}, "RGB RGBA"),
    "dds": ("DDS", {}, "RGB RGBA L"),
    "icns": ("ICNS", {}, "RGBA"),
    "sgi": ("SGI", {}, "RGB L"),
    "ico": ("ICO", {"sizes": [(16, 16)]}, "RGBA"),
    "pcx": ("PCX", {}, "RGB L 1 P"),
    "dib": ("DIB", {}, "RGB L"),
    "picture": ("TGA", {}, "RGB L RGBA P"),
}


def _saved(name: str, form: str, mode: str, options: dict[str, object]) -> bytes:
    stream = io.BytesIO()
    picture = _picture()
    picture = picture.convert("L").convert(mode) if mode == "I;16" else picture.convert(mode)
    if name in ("icns", "ico"):
        picture = picture.resize((16, 16))
    picture.save(stream, form, **options)  # type: ignore[arg-type]
    return stream.getvalue()


def _pictures(name: str) -> Iterator[bytes]:
    form, options, modes = _SAVED[name]
    for mode in modes.split():
        try:
            yield _saved(name, form, mode, options)
        except (OSError, ValueError, KeyError):  # a Pillow without this format, or older
            continue
    if name == "jpeg":
        for more in ({"progressive": True}, {"subsampling": 0, "restart_marker_blocks": 1}):
            yield _saved(name, form, "RGB", more)
    if name == "tiff":
        for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "group4"):
            yield _saved(name, form, "1" if compression == "group4" else "RGB", {"compression": compression})


def _other_pictures(name: str) -> Iterator[bytes]:
    """Of containers that Pillow cannot write."""
    if name == "sun":
        yield struct.pack(">8I", 0x59A66A95, 4, 2, 24, 24, 1, 0, 0) + bytes(range(24))
    elif name == "tiff-big-endian":
        tags = [(256, 3, 4), (257, 3, 2), (258, 3, 8), (259, 3, 1), (262, 3, 1), (273, 4, 8), (278, 3, 2), (279, 4, 8)]
        entries = b"".join(
            struct.pack(">HHIHH" if kind == 3 else ">HHII", tag, kind, 1, value, *([0] if kind == 3 else []))
            for tag, kind, value in tags
        )
        yield b"MM\0*" + struct.pack(">I", 16) + bytes(range(8)) + struct.pack(">H", len(tags)) + entries + bytes(4)
    elif name == "bigtiff":
        for plain in _pictures("tiff"):
            yield b"II+\0" + plain[4:]
    elif name == "netpbm":
        yield b"P3\n2 2\n255\n" + b"1 2 3 " * 4
        yield b"P7\nWIDTH 2\nHEIGHT 2\nDEPTH 3\nMAXVAL 255\nTUPLTYPE RGB\nENDHDR\n" + bytes(12)


def _texts(name: str) -> Iterator[bytes]:
    if name == "cfg":
        yield HEADS_CFG.encode()
        yield from (text.encode() for text in WEIGHTS_CFGS)
        yield "\ufeff# remark\r\n[net]\r\nwidth = 32\r\nheight=32 ; x\r\nchannels=3\r\n[cost]\r\n".encode("utf-16")
        yield (
            b"[net]\nwidth=64\nheight=64\nchannels=3\n[conv]\nfilters=4\nsize=3\npad=1\nactivation=mish\n[maxpool]\n"
            b"size=2\nstride=2\n[route]\nlayers=-1,-2\n[shortcut]\nfrom=-3\n[upsample]\nstride=2\n[dropout]\n[softmax]\n"
        )
    elif name == "names":
        yield from (b"a\nb\nc\n", b"a\r\nb\r\nc", "\ufeffä\nö\nü\n".encode(), "a\nb\nc\n".encode("utf-16"), b"\xff\n")
    elif name == "data":
        yield from (b"classes=3\nnames=list.names\n", b"names = data/list.names\r\n#x\nbackup=/tmp\n", b"labels=../x\n")
    elif name == "tree":
        yield from (b"\x03a -1\nb 0\nc 0\n", b"\x02n1 -1\nn2 -1\n")


def _numbers(name: str) -> Iterator[bytes]:
    random = np.random.default_rng(0)
    if name == "weights":
        for number, count in enumerate((2, 2 * 4 + 54 + 2 + 4 + 2 + 256, 0, 24)):
            for header in (struct.pack("<iiiQ", 0, 2, 5, 1), struct.pack("<iiiI", 0, 1, 0, 1)):
                yield bytes([number]) + header + random.random(count, np.float32).tobytes()
    elif name == "heads":
        for scale in (1, 30, 1e38):
            yield b"\x20\x70\x00\x00" + (random.standard_normal(90) * scale).astype(np.float32).tobytes()
        yield b"\x00\x70\x00\x00" + np.array([np.nan, np.inf, -np.inf, 0, 1, 2, 88, -88], np.float32).tobytes()
    elif name in ("structured", "options"):
        yield from (random.integers(0, 256, 40, np.uint8).tobytes() for _ in range(40))


def seeds_of(target: str) -> list[bytes]:
    """Where a target's search begins."""
    name = target.removeprefix("picture-")
    found = [*_texts(name), *_numbers(name), *_other_pictures(name)]
    return found + (list(_pictures(name)) if name in _SAVED else [])
