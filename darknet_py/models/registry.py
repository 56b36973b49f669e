"""Public models by name: where their files are, how to know them, what they are for. Data only.

Bytes and digests are of the published files. A digest stands here only where independent sources give the same one;
``weights/README.md`` is written from this table by ``python benchmarks/weights_readme.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

from darknet_py.errors import OptionError

__all__ = ["MODELS", "Accuracy", "Address", "KnownModel", "RemoteFile", "known_model"]


@dataclass(frozen=True)
class Accuracy:
    """Average precision in percent on COCO at an input of `size`, as `source` publishes it."""

    ap50: float
    ap: float | None
    size: str
    source: str


@dataclass(frozen=True)
class Address:
    """Where a file may be had.

    Attributes
    ----------
    url : str
    note : str
        What is known against it; empty if nothing is.
    untried : bool
        Nobody vouches that this very file is there: only one of a known digest is taken from it.
    """

    url: str
    note: str = ""
    untried: bool = False


@dataclass(frozen=True)
class RemoteFile:
    """A published file.

    Attributes
    ----------
    name : str
    addresses : tuple of Address
        In the order in which they are tried.
    digests : tuple of str
        SHA-256 of each saving in circulation; empty if none is known.
    bytes : int, optional
        None for weights whose size follows from their cfg, and for texts, which their digest identifies.
    digest_note : str
        How far the digests can be relied on, where that is less than usual.
    """

    name: str
    addresses: tuple[Address, ...] = ()
    digests: tuple[str, ...] = ()
    bytes: int | None = None
    digest_note: str = ""


@dataclass(frozen=True)
class KnownModel:
    """A model that can be asked for by name; cfg and names are None where those that ship with the package do."""

    name: str
    purpose: str
    weights: RemoteFile
    cfg: RemoteFile | None = None
    names: RemoteFile | None = None
    accuracy: Accuracy | None = None

    @property
    def files(self) -> tuple[RemoteFile, ...]:
        """All that is to be downloaded, the weights last: the cfg says how large they should be."""
        return tuple(file for file in (self.cfg, self.names, self.weights) if file is not None)


def known_model(name: str) -> KnownModel:
    """The model of that name, in any case.

    Raises
    ------
    OptionError
        There is none; lists those there are.
    """
    found = MODELS.get(name.lower())
    if found is not None:
        return found
    import difflib

    near = difflib.get_close_matches(name.lower(), MODELS, 1)
    guess = f" (did you mean {near[0]}?)" if near else ""
    raise OptionError(f"{name!r}: no model of this name is known{guess}: expected one of {', '.join(MODELS)}")


_RELEASES = "https://github.com/AlexeyAB/darknet/releases/download"
_FASTEST = (
    "https://raw.githubusercontent.com/dog-qiuqiu/Yolo-Fastest/96a2900d163196c396e73f3fdab04ca4dd9a2f70"
    "/ModelZoo/yolo-fastest-1.1_coco"
)
_ALEXEY = "README of AlexeyAB/darknet"
_DOG = "README of dog-qiuqiu/Yolo-Fastest"


def _pjreddie(name: str) -> Address:
    return Address(f"https://pjreddie.com/media/files/{name}", note="has answered 403 or a web page since 2025")


def _release(name: str, digests: tuple[str, ...] = (), size: int | None = None, *, tags: tuple[str, ...]) -> RemoteFile:
    return RemoteFile(name, tuple(Address(f"{_RELEASES}/{tag}/{name}") for tag in tags), digests, size)


def _fastest(name: str, size: int, digest: str, cfg_digest: str, ap50: float, purpose: str) -> KnownModel:
    def beside(file: str, digest: str, size: int | None = None) -> RemoteFile:
        return RemoteFile(file, (Address(f"{_FASTEST}/{file}"),), (digest,), size)

    return KnownModel(
        name,
        purpose,
        beside(f"{name}.weights", digest, size),
        beside(f"{name}.cfg", cfg_digest),
        beside("coco.names", "634a1132eb33f8091d60f2c346ababe8b905ae08387037aed883953b7329af84"),
        Accuracy(ap50, None, "320x320", _DOG),
    )


_ALL = (
    KnownModel(
        "yolov4-tiny",
        "everyday objects, fast: start with this",
        _release(
            "yolov4-tiny.weights",
            ("cf9fbfd0f6d4869b35762f56100f50ed05268084078805f0e7989efe5bb8ca87",),
            24251276,
            tags=("yolov4", "darknet_yolo_v4_pre"),
        ),
        accuracy=Accuracy(40.2, None, "416x416", _ALEXEY),
    ),
    KnownModel(
        "yolov4",
        "everyday objects, accurate",
        # Two savings of one network are in circulation; which of them the second address serves is not known.
        _release(
            "yolov4.weights",
            (
                "e8a4f6c62188738d86dc6898d82724ec0964d0eb9d2ae0f0a9d53d65d108d562",
                "8463fde6ee7130a947a73104ce73c6fa88618a9d9ecd4a65d0b38f07e17ec4e4",
            ),
            257717640,
            tags=("darknet_yolo_v3_optimal", "yolov4"),
        ),
        accuracy=Accuracy(65.7, 43.5, "608x608", _ALEXEY),
    ),
    KnownModel(
        "yolov4-csp",
        "everyday objects, accurate, letterboxed",
        _release("yolov4-csp.weights", tags=("yolov4",)),
        accuracy=Accuracy(64.8, 46.2, "512x512", _ALEXEY),
    ),
    KnownModel(
        "yolov4x-mish",
        "everyday objects, very accurate, slow",
        _release("yolov4x-mish.weights", tags=("yolov4",)),
        accuracy=Accuracy(67.9, 49.4, "640x640", _ALEXEY),
    ),
    KnownModel("yolov7-tiny", "everyday objects, fast", _release("yolov7-tiny.weights", tags=("yolov4",))),
    KnownModel("yolov7", "everyday objects, accurate", _release("yolov7.weights", tags=("yolov4",))),
    _fastest(
        "yolo-fastest-1.1",
        1384268,
        "1c445c42bbd6df63edea2cc69f99667b5650d663ca11e34b116240740cd42890",
        "f6df5775c1e862998cf69046eba9265be3ae84dfe8b2caab7529823f0795bf70",
        24.4,
        "everyday objects, the smallest",
    ),
    _fastest(
        "yolo-fastest-1.1-xl",
        3693964,
        "fac5fb41786c1f38f04972a658443b189f48720d7d117f9a044100e98a35b0c5",
        "c458427acc4fbeabceff4528ef7b65b066c0308ce599460f8ba299eba63abad3",
        34.33,
        "everyday objects, very fast",
    ),
    KnownModel(
        "yolov3",
        "everyday objects, for older programs",
        RemoteFile(
            "yolov3.weights",
            (
                Address(f"{_RELEASES}/darknet_yolo_v3_optimal/yolov3.weights", untried=True),
                Address("https://data.pjreddie.com/files/yolov3.weights"),
                _pjreddie("yolov3.weights"),
            ),
            ("523e4e69e1d015393a1b0a441cef1d9c7659e3eb2d7e15f793f060a21b32f297",),
            248007048,
        ),
        accuracy=Accuracy(55.3, None, "416x416", _ALEXEY),
    ),
    KnownModel(
        "yolov3-tiny",
        "everyday objects, fast, for older programs",
        RemoteFile(
            "yolov3-tiny.weights",
            (_pjreddie("yolov3-tiny.weights"),),
            ("dccea06f59b781ec1234ddf8d1e94b9519a97f4245748a7d4db75d5b7080a42c",),
            35434956,
        ),
        accuracy=Accuracy(33.1, None, "416x416", _ALEXEY),
    ),
    KnownModel(
        "yolov3-spp",
        "everyday objects, most accurate yolov3",
        RemoteFile(
            "yolov3-spp.weights",
            (_pjreddie("yolov3-spp.weights"),),
            ("87a1e8c85c763316f34e428f2295e1db9ed4abcec59dd9544f8052f50de327b4",),
            252209544,
            "from one source only",
        ),
        accuracy=Accuracy(60.6, None, "608x608", _ALEXEY),
    ),
    KnownModel(
        "yolov2",
        "everyday objects, of historical interest",
        RemoteFile(
            "yolov2.weights",
            (_pjreddie("yolov2.weights"),),
            ("d9945162ed6f54ce1a901e3ec537bdba4d572ecae7873087bd730e5a7942df3f",),
            203934260,
        ),
    ),
    KnownModel("yolov2-tiny", "everyday objects, of historical interest", RemoteFile("yolov2-tiny.weights")),
)

#: Every model that can be asked for by name, in the order of ``darknet-py download --list``.
MODELS: dict[str, KnownModel] = {model.name: model for model in _ALL}
