"""Why a weights file has not the size that its cfg describes: which layers would have to differ, and what to do."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from darknet_py.graph import Graph
from darknet_py.layers import Connected, Convolutional, Layer, Reorg, Route

__all__ = ["likely_cause"]

#: Explanations that are told: more would be guesses.
_MOST = 3
#: Sizes of windows that are tried.
_SIZES = (1, 3, 5, 7)


#: Values more in the file, and channels more of the output; None if unclear.
_More: TypeAlias = tuple[int, int] | None


class _Change(NamedTuple):
    """What a layer might be in the cfg that the weights belong to."""

    layer: Layer
    text: str


def likely_cause(graph: Graph, data: Any, header: int, version: tuple[int, ...]) -> str:
    """The likeliest reason, in words, for the length of a file's bytes, the first `header` of which are its header."""
    if not all(0 <= part < 10000 for part in version):
        return f"the header says version {'.'.join(map(str, version))}, so this is probably not a Darknet weights file"
    actual = len(data)
    count = graph.parameter_count
    for bits in (16, 64):
        if actual - header == bits // 8 * count:
            return f"it would fit numbers of {bits} bits: expected float32; write it again as that"
    difference, rest = divmod(actual - header - 4 * count, 4)
    if rest:
        return f"its values are not whole: {4 - rest} bytes are missing at the end, so it was cut short or damaged"
    if abs(difference) == 1:
        return (
            f"exactly one header field; the header says version {version[0]}.{version[1]}, "
            f"so a tool wrote it with the other header size{', or the file was cut short' if difference < 0 else ''}; "
            f"darknet-py weights convert --header {36 - header} reads it so"
        )
    classes = _fitting_classes(graph, difference)
    if classes is not None:
        return (
            f"it fits classes={classes} instead of {_classes(graph)}: use the cfg it was trained with{_surgery(graph)}"
        )
    prefix = _prefix(graph, actual - header) if difference < 0 else None
    if prefix is not None:
        return (
            f"it holds exactly layers 0 to {prefix - 1}: a backbone-only file such as NAME.conv.{prefix}, from which "
            "to start a training"
        )
    changes = _explanations(graph, data, header, difference)
    if changes:
        told = ", or ".join(f"{change.layer.where} had {change.text}" for change in changes)
        return f"it would fit if {told}: use the cfg it was trained with"
    return _where_it_ends(graph, actual - header, difference) + _of_one_size(graph)


def _surgery(graph: Graph) -> str:
    """Advice for who wants other classes: the numbers of a head mean its classes, and cannot be made others'."""
    before = graph.heads[0].index - 1
    return (
        "; weights cannot be given other classes: to train for them, start from the layers before the heads "
        f"(darknet-py weights cut --layer {before})"
    )


def _count(layer: Layer) -> int:
    return sum(int(np.prod(parameter.shape, dtype=np.int64)) for parameter in layer.parameters)


def _classes(graph: Graph) -> int:
    return graph.heads[0].classes if graph.heads else 0


def _fitting_classes(graph: Graph, difference: int) -> int | None:
    """The class count whose heads would account for `difference` values, if there is one."""
    per_class = 0
    convolutions = {layer.index: layer for layer in graph.of_type(Convolutional)}
    for head in graph.heads:
        before = convolutions.get(head.index - 1)
        if before is not None:
            anchors = before.filters // head.entries
            per_class += anchors * (before.in_shape.c * before.size**2 + (4 if before.batch_normalize else 1))
    if not per_class or difference % per_class:
        return None
    classes = _classes(graph) + int(difference // per_class)
    return classes if classes >= 1 else None


def _prefix(graph: Graph, length: int) -> int | None:
    """How many layers have `length` bytes together, if any number of them has."""
    read = 0
    for layer in graph.layers:
        if read == length and layer.index:
            return layer.index
        read += 4 * _count(layer)
    return None


def _where_it_ends(graph: Graph, length: int, difference: int) -> str:
    if difference > 0:
        return (
            f"{difference} values follow the last layer's: it belongs to another, larger cfg, or something was appended"
        )
    read = 0
    for layer in graph.layers:
        count = 4 * _count(layer)
        if read + count > length:
            values = f"with {max(0, length - read) // 4} of its {count // 4} values"
            return f"it ends in {layer.where} {values}: it was cut short (download it again) or belongs to another cfg"
        read += count
    raise AssertionError("a file that is too short ends in a layer")


def _of_one_size(graph: Graph) -> str:
    """A question after the size, where weights belong to one alone."""
    _, height, width = graph.blob
    kinds = dict.fromkeys(f"[{layer.kind}]" for layer in graph.layers if layer.of_one_size)
    if not kinds or height * width == 1:
        return ""
    return f"; weights of {' and '.join(kinds)} are those of one size of the input: is it {width}x{height}?"


# What one layer might be ----------------------------------------------------------------------------------------


def _explanations(graph: Graph, data: Any, header: int, difference: int) -> list[_Change]:
    """Changes of one layer that account for the difference, if these are few enough to mean something."""
    first, last = _where_values_go_astray(graph, data, header)
    found = [
        change
        for layer in graph.layers[first : last + 1]
        if layer.parameters
        for change in _changes(graph, layer, difference)
    ]
    return found if len(found) <= _MOST else []


def _changes(graph: Graph, layer: Layer, difference: int) -> Iterator[_Change]:
    if -_count(layer) == difference:
        yield _Change(layer, "not been there")
    if layer.kind in _CHANGES:
        yield from _CHANGES[layer.kind](graph, layer, difference)


def _changes_of_convolution(graph: Graph, layer: Convolutional, difference: int) -> Iterator[_Change]:
    if difference == (-3 if layer.batch_normalize else 3) * layer.filters:
        yield _Change(layer, f"batch_normalize={int(not layer.batch_normalize)}")
    per_tap = layer.filters * layer.in_shape.c // layer.groups
    for size in _SIZES:
        if size != layer.size and per_tap * (size**2 - layer.size**2) == difference:
            yield _Change(layer, f"size={size} instead of {layer.size}")
    per_filter = _per_filter(graph, layer)
    filters, rest = divmod(difference, per_filter) if per_filter else (0, 1)
    if not rest and layer.filters + filters >= 1:
        yield _Change(layer, f"filters={layer.filters + filters} instead of {layer.filters}")


_CHANGES: dict[str, Callable[[Graph, Any, int], Iterator[_Change]]] = {"convolutional": _changes_of_convolution}


def _per_filter(graph: Graph, layer: Convolutional) -> int:
    """Values in the file that one filter more of a layer brings, there and in the layers that read it; 0 if unclear."""
    if layer.groups > 1:
        return 0
    total = layer.in_shape.c * layer.size**2 + (4 if layer.batch_normalize else 1)
    more = {layer.index: 1}  # channels more of each layer
    for after in graph.layers[layer.index + 1 :]:
        inputs = [more.get(index, 0) for index in after.inputs]
        brought = _MORE.get(type(after), _more_of_others)(after, inputs) if any(inputs) else (0, 0)
        if brought is None:
            return 0
        values, channels = brought
        total += values
        if channels:
            more[after.index] = channels
    return total


def _more_of_convolution(layer: Convolutional, inputs: Sequence[int]) -> _More:
    if layer.groups > 1:
        return None
    return (0 if layer.share is not None else inputs[0] * layer.filters * layer.size**2), 0


def _more_of_connected(layer: Connected, inputs: Sequence[int]) -> _More:
    return inputs[0] * layer.shape.c * layer.in_shape.h * layer.in_shape.w, 0


def _more_of_route(layer: Route, inputs: Sequence[int]) -> _More:
    channels, rest = divmod(sum(inputs), layer.groups)
    return None if rest else (0, channels)


def _more_of_reorg(layer: Reorg, inputs: Sequence[int]) -> _More:
    return None if layer.reverse else (0, inputs[0] * layer.stride**2)


def _more_of_others(layer: Layer, inputs: Sequence[int]) -> _More:
    return None if layer.parameters and inputs[0] else (0, inputs[0])


#: What channels more of each of its inputs bring a layer.
_MORE: dict[type[Layer], Callable[[Any, Sequence[int]], _More]] = {
    Convolutional: _more_of_convolution,
    Connected: _more_of_connected,
    Route: _more_of_route,
    Reorg: _more_of_reorg,
}


def _where_values_go_astray(graph: Graph, data: Any, header: int) -> tuple[int, int]:
    """The first and the last layer that may be the one to differ: up to the first with a variance that is none.

    Read at places where they do not stand, variances are weights, and of these half are negative.
    """
    at, good = header, 0
    for layer in graph.layers:
        for name, shape in layer.parameters:
            count = int(np.prod(shape, dtype=np.int64))
            if name == "variance":
                whole = len(data) - at >= 4 * count
                if not whole or not (np.frombuffer(data, "<f4", count, at) >= 0).all():
                    return good, layer.index
                good = layer.index
            at += 4 * count
    return good, len(graph.layers) - 1
