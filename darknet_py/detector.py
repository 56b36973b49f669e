"""The whole way from a picture to its detections."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from darknet_py.decode import Candidates, decode
from darknet_py.detections import Detections
from darknet_py.errors import OptionError, UnsupportedError
from darknet_py.geometry import Geometry
from darknet_py.graph import Graph
from darknet_py.image import LIKES, ImageSource, Picture, begin_blob, read_picture
from darknet_py.models.files import find_model
from darknet_py.names import find_names
from darknet_py.network import MOST_TOGETHER, Network, write_pixels
from darknet_py.nms import suppress
from darknet_py.plan import State
from darknet_py.resizing import Resizing
from darknet_py.shipped import resolve_model
from darknet_py.weights import SeededWeights

__all__ = ["Detector"]

#: cv2.dnn's Darknet importer behaves as if batch norm's epsilon were this (measured on OpenCV 4.14).
_OPENCV_EPSILON = 1e-6


class Detector:
    """A Darknet detector: cfg, weights and names, ready for pictures.

    ``Detector()`` is the built-in model, which finds QR codes, barcodes, Data Matrix codes and ArUco markers.

    Parameters
    ----------
    cfg : str, Path or Graph, optional
        The ``.cfg`` file; the built-in model's by default.
    weights : str, Path or SeededWeights, optional
        The ``.weights`` file that belongs to it. Needed unless the cfg is a shipped one, or the name of one
        ("yolov4-codes"), whose weights ship as well.
    names : str, Path or sequence of str, optional
        Class names or the file that lists them. Otherwise looked for beside the cfg (``.data``, ``.names``), then
        coco.names for 80 classes and voc.names for 20.
    size : (int, int), optional
        (width, height) of the network's input instead of the cfg's.
    threads : int, optional
        Threads per image; all physical cores by default. Results do not depend on it.
    letterbox : bool, optional
        Keep the aspect ratio of pictures; by default what the cfg's ``letter_box`` says, as ``detector test`` does.
    like : {"darknet", "darknet.py", "opencv"}
        Whose choices to follow where Darknet's tools differ. "darknet": the command line's own resizing and the cfg's
        NMS. "darknet.py": cv2's resizing, no letterbox, plain IoU NMS. "opencv": the same, with the batch norm of
        ``cv2.dnn``'s importer.
    exact : bool
        Only direct convolutions: slower, less memory (see `Network`).
    precision : {"float32", "bfloat16"}
        Of what convolutions multiply: bfloat16 is faster where the CPU has AMX or, by AMD, AVX512-BF16 (see `Network`).

    Raises
    ------
    CfgError, UnsupportedError, WeightsError, OptionError

    Notes
    -----
    One Detector may be used by several Python threads at once.
    """

    def __init__(
        self,
        cfg: str | Path | Graph | None = None,
        weights: str | Path | SeededWeights | None = None,
        names: str | Path | Sequence[str] | None = None,
        *,
        size: tuple[int, int] | None = None,
        threads: int | None = None,
        letterbox: bool | None = None,
        like: str = "darknet",
        exact: bool = False,
        precision: str = "float32",
    ) -> None:
        if like not in LIKES:
            raise OptionError(f"like={like!r}: expected one of {', '.join(LIKES)}")
        if letterbox and like != "darknet":
            raise OptionError(f"letterbox=True with like={like!r}, which never letterboxes")
        self.like = like
        epsilon = _OPENCV_EPSILON if like == "opencv" else None
        model, source = _model(cfg, weights)
        self.network = Network(
            model, source, size=size, threads=threads, exact=exact, epsilon=epsilon, precision=precision
        )
        graph = self.network.graph
        if not graph.heads:
            raise UnsupportedError(
                f"{graph.file}: no detection head ([yolo], [Gaussian_yolo] or [region]); "
                "use Network to run it as a classifier or feature extractor"
            )
        self.letterbox = like == "darknet" and (graph.letter_box if letterbox is None else letterbox)
        last = graph.heads[-1]
        self.names = find_names(graph.file, max(_classes(head) for head in graph.heads), names)
        plain = like != "darknet"
        self._nms_kind = "default" if plain else str(getattr(last, "nms_kind", "default"))
        self._beta_nms = float(getattr(last, "beta_nms", 0.6))

    @classmethod
    def from_name(cls, name: str, *, download: bool = True, **options: Any) -> Detector:
        """A public model by its name, downloaded the first time it is asked for.

        Parameters
        ----------
        name : str
            "yolov4-tiny", ...; ``darknet-py download --list`` shows all. "yolov4-codes" is the built-in model.
        download : bool
            Whether its files may be downloaded where they are missing from the user's folder of models (see
            `darknet_py.models.files.models_folder`); never with ``DARKNET_PY_OFFLINE=1``. The logger ``darknet_py``
            says so.
        **options
            As for the class: names, size, threads, ...

        Raises
        ------
        OptionError
            No model of this name.
        DownloadError
            Its files are neither here nor to be had.
        """
        files = find_model(name, download=download)
        names = options.pop("names", None)
        return cls(files.cfg, files.weights, files.names if names is None else names, **options)

    @property
    def graph(self) -> Graph:
        """The network as its cfg describes it."""
        return self.network.graph

    def detect(self, image: ImageSource, thresh: float = 0.25, nms: float = 0.45, *, bgr: bool = True) -> Detections:
        """Find objects in one picture.

        Parameters
        ----------
        image : str, Path, bytes, ndarray or PIL.Image.Image
            A file, its bytes, 8-bit pixels (H, W), (H, W, 3) or (H, W, 4), or a Pillow image.
        thresh : float
            Lowest confidence to report, exclusive.
        nms : float
            Overlap above which the less confident of two boxes of a class is dropped.
        bgr : bool
            Whether an array is in cv2's channel order; False for RGB.

        Returns
        -------
        Detections
            In pixels of the picture given.

        Raises
        ------
        ImageError, OptionError
        """
        _check_thresholds(thresh, nms)
        return self._detect_together([read_picture(image, bgr=bgr, channels=self._channels())], thresh, nms)[0]

    def detect_batch(
        self, images: Iterable[ImageSource], thresh: float = 0.25, nms: float = 0.45, *, bgr: bool = True
    ) -> list[Detections]:
        """Find objects in several pictures of any sizes; equal to calling `detect` on each.

        Up to eight pictures are computed together, which reads the weights once for all of them. Pictures are taken
        from `images` eight at a time, and the next ones are read while those before are looked at. An iterator may fill
        the same array again and again, as ``VideoCapture.read(frame)`` does, or the same Pillow image.
        """
        _check_thresholds(thresh, nms)
        load = partial(read_picture, bgr=bgr, channels=self._channels())
        if not isinstance(images, Sequence):
            images = map(_own, images)
        found: list[Detections] = []
        with ThreadPoolExecutor(1) as reader:
            ahead: list[Future[Picture]] = []
            for chunk in chain(_chunks(images, MOST_TOGETHER), [[]]):
                ready, ahead = ahead, [reader.submit(load, image) for image in chunk]
                if ready:
                    found += self._detect_together([reading.result() for reading in ready], thresh, nms)
        return found

    def _detect_together(self, pictures: Sequence[Picture], thresh: float, nms: float) -> list[Detections]:
        _, net_h, net_w = self.graph.blob
        geometries = [Geometry(p.shape[1], p.shape[0], net_w, net_h, self.letterbox) for p, _ in pictures]

        def fill(blobs: Sequence[NDArray[np.float32]]) -> list[Resizing]:
            begun = (
                begin_blob(pixels, geometry, blob, like=self.like, reverses=reverses)
                for (pixels, reverses), geometry, blob in zip(pictures, geometries, blobs, strict=True)
            )
            return [resizing for resizing in begun if resizing is not None]

        return self._detect(geometries, fill, thresh, nms)

    def detect_blob(
        self, blob: Any, image_size: tuple[int, int], thresh: float = 0.25, nms: float = 0.45
    ) -> Detections:
        """Find objects in a blob that was prepared elsewhere.

        Parameters
        ----------
        blob : ndarray, shape (C, H, W), float32, RGB in [0, 1]
            Of the network's size; letterboxed if this detector letterboxes.
        image_size : (int, int)
            (width, height) of the picture it was made from; boxes are in its pixels.
        """
        _check_thresholds(thresh, nms)
        array: NDArray[np.float32] = np.asarray(blob)
        self.network.check_blob(array, batch=False)
        _, net_h, net_w = self.graph.blob
        geometry = Geometry(*image_size, net_w, net_h, self.letterbox)

        def fill(blobs: Sequence[NDArray[np.float32]]) -> list[Resizing]:
            write_pixels(array, blobs[0])
            return []

        return self._detect([geometry], fill, thresh, nms)[0]

    def _detect(
        self,
        geometries: Sequence[Geometry],
        fill: Callable[[Sequence[NDArray[np.float32]]], list[Resizing]],
        thresh: float,
        nms: float,
    ) -> list[Detections]:
        """Run a batch whose blobs (H, W, C) `fill` writes, but for resizes; boxes in the pictures of `geometries`."""
        state = self.network.acquire(len(geometries))
        self.network.forward(state, fill(state.blobs))
        found = [self._decode(state, geometry, thresh, n) for n, geometry in enumerate(geometries)]
        self.network.release(state)
        return [self._finish(one, geometry, nms) for one, geometry in zip(found, geometries, strict=True)]

    def _channels(self) -> int:
        channels = self.graph.blob.c
        if channels not in (1, 3):
            raise UnsupportedError(
                f"{self.graph.file}: channels={channels}, but pictures have 1 or 3: prepare a blob for detect_blob"
            )
        return channels

    def _decode(self, state: State, geometry: Geometry, thresh: float, image: int) -> Candidates:
        return decode([(head, state.output(head.index, image)) for head in self.graph.heads], geometry, thresh)

    def _finish(self, found: Candidates, geometry: Geometry, nms: float) -> Detections:
        kept = suppress(found, nms=nms, kind=self._nms_kind, beta=self._beta_nms)
        return Detections.from_candidates(kept, self.names, geometry)


def _model(
    cfg: str | Path | Graph | None, weights: str | Path | SeededWeights | None
) -> tuple[str | Path | Graph, str | Path | SeededWeights]:
    """What to load: as given, or what ships where the weights are not."""
    if weights is None:
        if isinstance(cfg, Graph):
            raise OptionError(f"{cfg.file}: a graph without weights: give the .weights file that belongs to it")
        return resolve_model(cfg)
    if cfg is None:
        raise OptionError("weights without a cfg: give the .cfg file they were trained with, or neither")
    return cfg, weights


def _chunks(images: Iterable[ImageSource], size: int) -> Iterator[list[ImageSource]]:
    rest = iter(images)
    while chunk := list(islice(rest, size)):
        yield chunk


def _own(image: ImageSource) -> ImageSource:
    """The picture, in memory that its source cannot fill again."""
    if isinstance(image, np.ndarray | Image.Image):
        return image.copy()
    return bytes(image) if isinstance(image, bytearray | memoryview) else image


def _classes(head: Any) -> int:
    return int(head.classes)


def _check_thresholds(thresh: float, nms: float) -> None:
    for name, value in (("thresh", thresh), ("nms", nms)):
        if not (math.isfinite(value) and 0 <= value <= 1):
            raise OptionError(f"{name}={value}: expected a number from 0 to 1")
