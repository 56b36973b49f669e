"""Networks and class names as the scripts load them, and the forward pass."""

from __future__ import annotations

import ctypes as ct
import logging
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from darknet_py.darknet.drawing import Colors, class_colors
from darknet_py.darknet.images import letterboxed, path_of, planes_of, resized
from darknet_py.darknet.structures import IMAGE, METADATA, floats_of
from darknet_py.errors import CfgError, OptionError
from darknet_py.layers import Layer
from darknet_py.names import load_names, names_of_data, read_data
from darknet_py.network import Network
from darknet_py.planes import write_pixels

__all__ = [
    "LoadedNetwork",
    "add_skipped_class",
    "clear_skipped_classes",
    "del_skipped_class",
    "free_network_ptr",
    "load_meta",
    "load_net",
    "load_net_custom",
    "load_network",
    "network_dimensions",
    "network_height",
    "network_of",
    "network_predict",
    "network_width",
    "predict_image",
    "predict_image_letterbox",
]

log = logging.getLogger(__name__)

Floats = npt.NDArray[np.float32]


class LoadedNetwork:
    """What a script holds in place of C's pointer to a network."""

    def __init__(self, cfg: Path, weights: Path) -> None:
        self._network: Network | None = Network(cfg, weights)
        # As in C, where what recurrent layers remember is part of the network.
        self._session = self._network.session() if self._network.graph.remembers else None
        self._turn = threading.Lock()
        self.skipped: set[int] = set()
        #: Heads and their maps (h, w, c) of the last prediction.
        self.maps: list[tuple[Layer, Floats]] | None = None

    def __repr__(self) -> str:
        if self._network is None:
            return "LoadedNetwork(freed)"
        return f"LoadedNetwork({self._network.graph.file!r})"

    @property
    def network(self) -> Network:
        if self._network is None:
            raise OptionError("this network was freed (free_network_ptr): load it again")
        return self._network

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the input."""
        _, height, width = self.network.graph.blob
        return width, height

    def free(self) -> None:
        self._network = self._session = self.maps = None

    def predict(self, planes: Floats) -> tuple[list[tuple[Layer, Floats]], Floats]:
        """Heads with their maps (h, w, c), and the last layer's values in Darknet's order, of planes (c, h, w)."""
        network = self.network
        if planes.shape != tuple(network.graph.blob):
            raise OptionError(
                f"image of {_extent(planes.shape)}: this network takes {_extent(network.graph.blob)} (w x h x channels)"
            )
        state = network.acquire()
        write_pixels(planes, state.blob)
        with nullcontext() if self._session is None else self._turn:
            network.forward(state, (), self._session)
        layers = network.heads or (network.graph.output,)
        maps = [(layer, state.output(layer.index).copy()) for layer in layers]
        network.release(state)
        last, values = maps[-1]
        values = values if last.kind == "region" else values.transpose(2, 0, 1)
        return maps if network.heads else [], np.ascontiguousarray(values).ravel()


def _extent(shape: tuple[int, ...]) -> str:
    channels, height, width = shape
    return f"{width} x {height} x {channels}"


class _Loaded(NamedTuple):
    network: LoadedNetwork
    class_names: list[str]
    class_colors: Colors


def load_network(config_file: Any, data_file: Any, weights: Any, batch_size: int = 1) -> _Loaded:
    """Load a network and the names of its classes.

    Parameters
    ----------
    config_file, data_file, weights : str, bytes or Path
    batch_size : int
        Accepted; a picture at a time is computed, as `detect_image` does in Darknet.

    Returns
    -------
    (network, class_names, class_colors)
        As AlexeyAB's module. hank-ai's gives the network alone: all functions here take this tuple as one, too.

    Raises
    ------
    CfgError, UnsupportedError, WeightsError, OptionError
    """
    network = load_net_custom(config_file, weights, 0, batch_size)
    meta = load_meta(data_file)
    names = [meta.names[i].decode() for i in range(meta.classes)]
    _compare_classes(network, names, path_of(data_file))
    return _Loaded(network, names, class_colors(names))


def _compare_classes(network: LoadedNetwork, names: list[str], data: Path) -> None:
    classes = network.network.graph.classes or len(names)
    if classes != len(names):
        log.warning(
            "%s: %d class names for a network of %d classes; classes without a name are not reported",
            data, len(names), classes,
        )  # fmt: skip


def load_net(cfg: Any, weights: Any, clear: int = 0) -> LoadedNetwork:
    """Load a network; `clear`, which resets the count of training images, has no effect."""
    return load_net_custom(cfg, weights, clear, 1)


def load_net_custom(cfg: Any, weights: Any, clear: int = 0, batch: int = 1) -> LoadedNetwork:
    """`load_net` for batches of `batch` images: accepted, one at a time is computed.

    Raises
    ------
    CfgError, UnsupportedError, WeightsError
    OptionError
        No weights are given (Darknet computes with random ones), or `batch` is below 1.
    """
    if batch < 1:
        raise OptionError(f"batch size {batch}: expected at least 1")
    if path_of(weights) == Path():
        raise OptionError(f"{path_of(cfg)}: no weights given: expected the .weights file that belongs to this cfg")
    if batch > 1:
        log.info("batch size %d: images are computed one by one; Detector.detect_batch computes them together", batch)
    return LoadedNetwork(path_of(cfg), path_of(weights))


def load_meta(data_file: Any) -> METADATA:
    """The class names that a ``.data`` file points to.

    The list is looked for from the folder of the file, from the one above it, from the working directory, and by its
    name beside the file.

    Raises
    ------
    CfgError
        The file cannot be read or names no list, the list is not there, or is shorter than ``classes=`` says.
    """
    data = path_of(data_file)
    options = read_data(data)
    places = list(names_of_data(data, options, anywhere=True))
    if not places:
        raise CfgError(f"{data}: no line names=..., expected a .data file that says where the class names are")
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        looked = ", ".join(dict.fromkeys(str(place) for place in places))
        raise CfgError(f"{data}: the list of names is not there; expected one of {looked}")
    names = load_names(found)
    classes = _classes_of(data, options, len(names))
    if classes > len(names):
        raise CfgError(f"{found}: {len(names)} names, but {data} says classes={classes}: expected one name per class")
    encoded = (ct.c_char_p * len(names))(*(name.encode() for name in names))
    return METADATA(classes, ct.cast(encoded, ct.POINTER(ct.c_char_p)))


def _classes_of(data: Path, options: dict[str, str], default: int) -> int:
    value = options.get("classes", str(default))
    if not value.isdecimal() or int(value) < 1:
        raise CfgError(f"{data}: classes={value}: expected a number of classes, at least 1")
    return int(value)


def network_of(network: Any) -> LoadedNetwork:
    """The network of what a script hands over: a network, or all that `load_network` gave."""
    if isinstance(network, _Loaded):
        return network.network
    if not isinstance(network, LoadedNetwork):
        raise OptionError(f"network of type {type(network).__name__}: expected what load_net_custom or load_net gave")
    return network


def network_width(net: Any) -> int:
    """Width of the network's input in pixels."""
    return network_of(net).size[0]


def network_height(net: Any) -> int:
    """Height of the network's input in pixels."""
    return network_of(net).size[1]


def network_dimensions(net: Any) -> tuple[int, int, int]:
    """(width, height, channels) of the network's input."""
    loaded = network_of(net)
    return (*loaded.size, loaded.network.graph.blob.c)


def free_network_ptr(net: Any) -> None:
    """Let go of a network's memory; using it afterwards is an error that says so."""
    network_of(net).free()


def predict_image(network: Any, image: IMAGE) -> Any:
    """Run the network on an image, resized if it has another size.

    Returns
    -------
    ctypes array of c_float
        The last layer's output: a classifier's probabilities. Boxes come from `get_network_boxes`.
    """
    loaded = network_of(network)
    return _predict(loaded, resized(planes_of(image), *loaded.size))


def predict_image_letterbox(network: Any, image: IMAGE) -> Any:
    """`predict_image` with the aspect ratio kept; tell `get_network_boxes` so by ``letter=1``."""
    loaded = network_of(network)
    planes, (width, height) = planes_of(image), loaded.size
    fits = planes.shape[1:] == (height, width)
    return _predict(loaded, planes if fits else letterboxed(planes, width, height))


def network_predict(network: Any, data: Any) -> Any:
    """`predict_image` of float32 values (c, h, w) of the network's size, behind a pointer or in an array."""
    loaded = network_of(network)
    return _predict(loaded, floats_of(data, tuple(loaded.network.graph.blob), "network_predict"))


def _predict(loaded: LoadedNetwork, planes: Floats) -> Any:
    loaded.maps, values = loaded.predict(planes)
    return (ct.c_float * values.size).from_buffer(values.data)


def add_skipped_class(net: Any, class_id: int) -> None:
    """Report no objects of a class from now on."""
    network_of(net).skipped.add(int(class_id))


def del_skipped_class(net: Any, class_id: int) -> None:
    """Report objects of a class again."""
    network_of(net).skipped.discard(int(class_id))


def clear_skipped_classes(net: Any) -> None:
    """Report objects of all classes."""
    network_of(net).skipped.clear()
