"""A classifier made ready: a picture in, its likeliest classes out, as Darknet's ``classifier predict`` gives them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darknet_py.arguments import as_choice, as_flag, as_integer, lasting_path
from darknet_py.errors import DarknetError, UnsupportedError
from darknet_py.graph import Graph
from darknet_py.layers import Layer, Softmax
from darknet_py.layers.tree import Tree
from darknet_py.names import find_names
from darknet_py.network import MOST_TOGETHER, Network
from darknet_py.pictures.batch import pictures_of, read_ahead
from darknet_py.pictures.imagesource import ImageSource
from darknet_py.pictures.load import Picture, read_picture
from darknet_py.pictures.resizing import Resizing, Window
from darknet_py.planes import read_planes, write_pixels
from darknet_py.weights import WeightsSource

__all__ = ["Classification", "Classifier", "Guess"]

Floats = NDArray[np.float32]


class Guess(NamedTuple):
    """One class of a `Classification`; `parent` is None without a tree, and for its roots."""

    class_id: int
    class_name: str
    confidence: float
    parent: str | None


@dataclass(frozen=True, eq=False)
class Classification:
    """The likeliest classes of one picture, the likeliest first; iterating gives `Guess`es.

    Attributes
    ----------
    class_id : ndarray, shape (k,), int64
    confidence : ndarray, shape (k,), float32
        With a tree the product of the probabilities on the way from the root.
    class_names : tuple of str
    parents : tuple of (str or None)
        What each class is a kind of; all None where the network has no tree of classes.
    probabilities : ndarray, shape (n,), float32
        The confidence of every class, by its number.
    """

    class_id: NDArray[np.int64]
    confidence: Floats
    class_names: tuple[str, ...]
    parents: tuple[str | None, ...]
    probabilities: Floats

    def __len__(self) -> int:
        return len(self.class_id)

    def __iter__(self) -> Iterator[Guess]:
        columns = (self.class_id.tolist(), self.class_names, self.confidence.tolist(), self.parents)
        return map(Guess._make, zip(*columns, strict=True))

    def to_json(self, filename: str, frame_id: int = 1) -> dict[str, Any]:
        """A record like those of `Detections.to_darknet_json`, with ``classes`` in place of ``objects``."""
        classes = []
        for guess in self:
            of = {} if guess.parent is None else {"parent": guess.parent}
            classes.append({"class_id": guess.class_id, "name": guess.class_name, **of, "confidence": guess.confidence})
        return {"frame_id": frame_id, "filename": filename, "classes": classes}


class Classifier:
    """A Darknet classifier: cfg, weights and labels, ready for pictures.

    A picture is prepared as Darknet does it: its shorter side is resized to the width of the network, and the middle
    of it is taken.

    Parameters
    ----------
    cfg : str, Path or Graph
        The ``.cfg`` file, the name of a shipped one, or a graph already loaded.
    weights : str, Path or WeightsSource
        The ``.weights`` file that belongs to it, or `SeededWeights`.
    labels : str, Path or sequence of str, optional
        The name of each class, or the file that lists them, or a ``.data`` file that points to it. Otherwise looked for
        beside the cfg (``.data``, ``.names``); failing that, "class 0", "class 1", ...
    size : (int, int) or int, optional
        (width, height) of the network's input instead of the cfg's, or one number for a square.
    threads, exact, precision
        As for `Network`.

    Raises
    ------
    CfgError, UnsupportedError, WeightsError, OptionError

    Notes
    -----
    One Classifier may be used by several Python threads at once. Pickled, it travels as its files' paths and options.

    Examples
    --------
    >>> classifier = Classifier("darknet19.cfg", "darknet19.weights", "imagenet.shortnames.list")
    >>> for guess in classifier.classify("dog.jpg"):
    ...     print(f"{guess.confidence:.1%} {guess.class_name}")
    """

    def __init__(
        self,
        cfg: str | Path | Graph,
        weights: str | Path | WeightsSource,
        labels: str | Path | Sequence[str] | None = None,
        *,
        size: tuple[int, int] | int | None = None,
        threads: int | None = None,
        exact: bool = False,
        precision: str = "float32",
    ) -> None:
        self.network = Network(cfg, weights, size=size, threads=threads, exact=exact, precision=precision)
        graph = self.network.graph
        self._output = _check(graph)
        self._tree = _tree_of(graph)
        self._labels = find_names(graph.file, self._output.outputs, labels, classifier=True)
        self._files = lasting_path(cfg), lasting_path(weights)
        self._options: dict[str, Any] = {"size": size, "threads": threads, "exact": exact, "precision": precision}

    def __repr__(self) -> str:
        return f"Classifier({self.network.description}, {len(self.labels)} classes)"

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(type(self), **self._options), (*self._files, self.labels)

    @property
    def graph(self) -> Graph:
        """The network as its cfg describes it."""
        return self.network.graph

    @property
    def labels(self) -> tuple[str, ...]:
        """The name of each class."""
        return self._labels

    def classify(self, image: ImageSource, top: int = 5, *, bgr: bool = True) -> Classification:
        """The likeliest classes of one picture.

        Parameters
        ----------
        image : str, Path, bytes, ndarray or PIL.Image.Image
            As for `Detector.detect`.
        top : int
            How many classes, at most.
        bgr : bool
            Whether an array is in cv2's channel order; False for RGB.

        Raises
        ------
        ImageError, OptionError
        """
        top = as_integer("top", top, low=1)
        picture = read_picture(image, bgr=as_flag("bgr", bgr), channels=self.graph.blob.c)
        return self._classify([picture], top)[0]

    def classify_batch(
        self, images: Iterable[ImageSource], top: int = 5, *, bgr: bool = True, errors: str = "raise"
    ) -> list[Classification | DarknetError]:
        """The likeliest classes of several pictures; equal to calling `classify` on each.

        Parameters
        ----------
        images : iterable of what `classify` takes
        top, bgr
            As for `classify`.
        errors : {"raise", "return"}
            Whether the error of a picture that cannot be read is raised, or stands in its place in the list.

        Raises
        ------
        ImageError, OptionError
        """
        errors = as_choice("errors", errors, ("raise", "return"))
        top = as_integer("top", top, low=1)
        load = partial(read_picture, bgr=as_flag("bgr", bgr), channels=self.graph.blob.c)
        found: list[Classification | DarknetError] = []
        with closing(read_ahead(pictures_of(images), load, MOST_TOGETHER)) as readings:
            for chunk in readings:
                pictures = [read for read in chunk if isinstance(read, Picture)]
                if errors == "raise" and len(pictures) < len(chunk):
                    raise next(read for read in chunk if isinstance(read, DarknetError))
                guesses = iter(self._classify(pictures, top) if pictures else ())
                found += [next(guesses) if isinstance(read, Picture) else read for read in chunk]
        return found

    def classify_blob(self, blob: Any, top: int = 5) -> Classification:
        """The likeliest classes of a blob (C, H, W) or (1, C, H, W), float32, RGB in [0, 1], prepared elsewhere."""
        top = as_integer("top", top, low=1)
        array = self.network.check_blob(blob, batch=False)
        state = self.network.acquire()
        write_pixels(array, state.blob)
        self.network.forward(state)
        values = read_planes(state.output(self._output.index)).ravel()
        self.network.release(state)
        return self._guesses(values, top)

    def _classify(self, pictures: Sequence[Picture], top: int) -> list[Classification]:
        state = self.network.acquire(len(pictures))
        resizings = [
            Resizing(pixels, blob, reverses, centre_crop(pixels.shape, blob.shape))
            for (pixels, reverses), blob in zip(pictures, state.blobs, strict=True)
        ]
        self.network.forward(state, resizings)
        index = self._output.index
        found = [read_planes(state.output(index, image)).ravel() for image in range(len(pictures))]
        self.network.release(state)
        return [self._guesses(values, top) for values in found]

    def _guesses(self, values: Floats, top: int) -> Classification:
        if self._tree is not None:
            values = _from_the_root(values, self._tree)
        best = np.argsort(-values, kind="stable")[:top]
        parents = [-1 if self._tree is None else self._tree.parents[index] for index in best]
        return Classification(
            best,
            values[best],
            tuple(self.labels[index] for index in best),
            tuple(None if parent < 0 else self.labels[parent] for parent in parents),
            values,
        )


def centre_crop(shape: tuple[int, ...], net_shape: tuple[int, ...]) -> Window:
    """The window of a picture (H, W, ...) that Darknet's classifier looks at.

    Its shorter side becomes as long as the network is wide, also where that is higher.
    """
    (height, width), (net_height, net_width) = shape[:2], net_shape[:2]
    if width < height:
        new_width, new_height = net_width, height * net_width // width
    else:
        new_width, new_height = width * net_width // height, net_width
    # C divides towards zero where the network is higher than the picture.
    left, top = (int((new - net) / 2) for new, net in ((new_width, net_width), (new_height, net_height)))
    return Window(new_width, new_height, left, top)


def _check(graph: Graph) -> Layer:
    """The layer whose values are the classes'."""
    if graph.heads:
        raise UnsupportedError(
            f"{graph.file}: it has a detection head, [{graph.heads[0].kind}]: use Detector, darknet-py detect"
        )
    if graph.no_pictures:
        raise UnsupportedError(f"{graph.file}: {graph.no_pictures}: use Network")
    output = graph.output
    if output.kind != "softmax" and output.shape.h * output.shape.w > 1:
        raise UnsupportedError(
            f"{output.where}: the network ends in {output.shape.w} x {output.shape.h} x {output.shape.c} values, not "
            "in one per class: it extracts features; use Network"
        )
    return output


def _tree_of(graph: Graph) -> Tree | None:
    """The tree of the classes: as in Darknet, the last that a [softmax] has."""
    trees = [layer.tree for layer in graph.of_type(Softmax) if layer.tree is not None]
    if trees and len(trees[-1].parents) != graph.output.outputs:
        raise UnsupportedError(
            f"{graph.output.where}: {graph.output.outputs} outputs for a tree of {len(trees[-1].parents)} classes: use "
            "Network"
        )
    return trees[-1] if trees else None


def _from_the_root(values: Floats, tree: Tree) -> Floats:
    """Probabilities given the parent → probabilities; a parent comes before its children."""
    product: Floats = values.copy()
    for start, count in tree.groups:
        parent = tree.parents[start]
        if parent >= 0:
            product[start : start + count] *= product[parent]
    return product
