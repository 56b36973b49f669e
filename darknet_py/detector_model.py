"""A detector without pictures: its model made ready and what to report of it; blobs in, boxes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from darknet_py.arguments import as_choice, as_flag, as_size, lasting_path
from darknet_py.boxes.detections import Detections
from darknet_py.boxes.selection import Classes, ClassThresholds, Selection
from darknet_py.errors import OptionError, UnsupportedError
from darknet_py.graph import Graph
from darknet_py.models.model_files import find_model
from darknet_py.names import find_names
from darknet_py.network import Network
from darknet_py.pictures.blob import LIKES
from darknet_py.pictures.looks import ONCE, Looks, as_looks
from darknet_py.pipeline import Pipeline
from darknet_py.shipped import default_looks, resolve_model
from darknet_py.weights import SeededWeights

__all__ = ["DetectorModel"]

#: cv2.dnn's Darknet importer behaves as if batch norm's epsilon were this (measured on OpenCV 4.14).
_OPENCV_EPSILON = 1e-6


_Self = TypeVar("_Self", bound="DetectorModel")


class DetectorModel:
    """The model of a `Detector`, which says what its parameters are."""

    def __init__(
        self,
        cfg: str | Path | Graph | None = None,
        weights: str | Path | SeededWeights | None = None,
        names: str | Path | Sequence[str] | None = None,
        *,
        size: tuple[int, int] | int | None = None,
        threads: int | None = None,
        letterbox: bool | None = None,
        like: str = "darknet",
        exact: bool = False,
        precision: str = "float32",
        looks: Looks | None = None,
        classes: Classes | None = None,
        agnostic: bool = False,
        single_class: bool = False,
        max_det: int | None = None,
        class_thresh: ClassThresholds | None = None,
    ) -> None:
        like = as_choice("like", like, LIKES)
        if letterbox is not None:
            letterbox = _check_letterbox(letterbox, like)
        epsilon = _OPENCV_EPSILON if like == "opencv" else None
        model, source = _model(cfg, weights)
        shown = as_looks(looks) if looks is not None else default_looks(source) if like == "darknet" else ONCE
        options: dict[str, Any] = {"threads": threads, "exact": exact, "epsilon": epsilon, "precision": precision}
        self.network = Network(model, source, size=size, **options)
        graph = self.network.graph
        if not graph.heads:
            raise UnsupportedError(
                f"{graph.file}: no detection head ([yolo], [Gaussian_yolo], [region] or [detection]); "
                "run it as a classifier (Classifier, darknet-py classify) or, for its features, by Network"
            )
        letterbox = like == "darknet" and (graph.letter_box if letterbox is None else letterbox)
        listed = find_names(graph.file, graph.classes, names)
        doubled = _doubled(model, source, graph, options) if "double" in shown else None
        self._pipeline = Pipeline(self.network, listed, letterbox, like, shown, doubled)
        self._wanted = Selection().asking(self.names, classes, agnostic, single_class, max_det, class_thresh)
        self._files = lasting_path(cfg), lasting_path(weights)
        self._options: dict[str, Any] = {"size": size, "threads": threads, "exact": exact, "precision": precision}

    def __repr__(self) -> str:
        chosen = {"like": self.like, "letterbox": self.letterbox, "looks": self.looks} | self._wanted.options()
        shown = [f"{name}={value!r}" for name, value in chosen.items() if value not in ("darknet", False, ONCE)]
        return f"Detector({', '.join([self.network.description, f'{len(self.names)} classes', *shown])})"

    def __reduce__(self) -> tuple[Any, ...]:
        asked = {"letterbox": self.letterbox, "like": self.like, "looks": self.looks}
        options = {**self._options, **asked, **self._wanted.options()}
        return partial(type(self), **options), (*self._files, self.names)

    @classmethod
    def from_name(cls: type[_Self], name: str, *, download: bool = True, **options: Any) -> _Self:
        """A public model by its name, downloaded the first time it is asked for.

        Parameters
        ----------
        name : str
            "yolov4-tiny", ...; ``darknet-py download --list`` shows all. "yolov4-codes" is the built-in model.
        download : bool
            Whether its files may be downloaded where they are missing from the user's folder of models (see
            `darknet_py.models.model_files.models_folder`); never with ``DARKNET_PY_OFFLINE=1``. The logger
            ``darknet_py`` says so.
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

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each class."""
        return self._pipeline.names

    @property
    def letterbox(self) -> bool:
        """Whether pictures keep their aspect ratio; may be set."""
        return self._pipeline.letterbox

    @letterbox.setter
    def letterbox(self, value: bool) -> None:
        self._pipeline = replace(self._pipeline, letterbox=_check_letterbox(value, self.like))

    @property
    def like(self) -> str:
        """Whose choices are followed."""
        return self._pipeline.like

    @property
    def looks(self) -> tuple[str, ...]:
        """How a picture is shown to the network."""
        return self._pipeline.looks

    def selection(self, thresh: float = 0.25, nms: float = 0.45, **options: Any) -> Selection:
        """What `detect` would report when called with these options, checked and with defaults filled in.

        Raises
        ------
        OptionError
        """
        wanted = dict.fromkeys(("classes", "agnostic", "single_class", "max_det", "class_thresh")) | options
        return self._wanted.asking(self.names, **wanted, thresh=thresh, nms=nms)

    def detect_blob(
        self,
        blob: Any,
        image_size: tuple[int, int],
        thresh: float = 0.25,
        nms: float = 0.45,
        *,
        classes: Classes | None = None,
        agnostic: bool | None = None,
        single_class: bool | None = None,
        max_det: int | None = None,
        class_thresh: ClassThresholds | None = None,
    ) -> Detections:
        """Find objects in a blob that was prepared elsewhere, such as by ``cv2.dnn.blobFromImage``.

        Parameters
        ----------
        blob : ndarray, shape (C, H, W) or (1, C, H, W), float32, RGB in [0, 1]
            Of the network's size; letterboxed if this detector letterboxes.
        image_size : (int, int)
            (width, height) of the picture it was made from; boxes are in its pixels.
        thresh, nms, classes, agnostic, single_class, max_det, class_thresh
            As for `detect`.

        Raises
        ------
        OptionError
        """
        wanted = self._wanted.asking(self.names, classes, agnostic, single_class, max_det, class_thresh, thresh, nms)
        array = self.network.check_blob(blob, batch=False)
        return self._pipeline.detect_blob(array, as_size("image_size", image_size), wanted)


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


def _doubled(
    model: str | Path | Graph, source: str | Path | SeededWeights, graph: Graph, options: dict[str, Any]
) -> Network:
    """The network at twice the size of its input."""
    if isinstance(model, Graph):
        raise OptionError(f"looks: 'double' of a graph of {graph.blob.w}x{graph.blob.h}: give its .cfg file instead")
    return Network(model, source, size=(2 * graph.blob.w, 2 * graph.blob.h), **options)


def _check_letterbox(letterbox: bool, like: str) -> bool:
    letterbox = as_flag("letterbox", letterbox)
    if letterbox and like != "darknet":
        raise OptionError(f"letterbox=True with like={like!r}, which never letterboxes")
    return letterbox
