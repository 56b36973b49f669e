"""What emitters of layers write to: ONNX nodes and initializers whose names carry the layer they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from darknet_py.graph import Graph
from darknet_py.layers import Layer
from darknet_py.shape import Shape
from darknet_py.weights import WeightsSource

__all__ = ["BLOB", "Emission", "Kernels"]

#: Name of the model's input.
BLOB = "blob"

Array = NDArray[Any]


@dataclass(frozen=True)
class Kernels:
    """Initializers of a convolution; ``scale`` multiplies the result of one whose kernels are signs (xnor)."""

    weights: str
    biases: str
    scale: str | None = None


@dataclass
class Emission:
    """The ONNX graph while it grows, one layer after another.

    Attributes
    ----------
    onnx : module
    graph : Graph
    weights : WeightsSource
    batch : int or "dynamic"
    mish : {"arithmetic", "operator"}
    nodes, initializers : list
        In the order of use, as ONNX demands.
    kernels : dict of int to Kernels
        Of each convolution, for layers that share them.
    parts : dict of int to tuple of str
        Of each head, its activated entries, (N, anchors, k, H, W), for decoding.
    """

    onnx: ModuleType
    graph: Graph
    weights: WeightsSource
    batch: int | str = 1
    mish: str = "arithmetic"
    nodes: list[Any] = field(default_factory=list)
    initializers: list[Any] = field(default_factory=list)
    kernels: dict[int, Kernels] = field(default_factory=dict)
    parts: dict[int, tuple[str, ...]] = field(default_factory=dict)
    _outputs: dict[int, str] = field(default_factory=lambda: {-1: BLOB})
    _constants: dict[tuple[Any, ...], str] = field(default_factory=dict)
    _names: set[str] = field(default_factory=set)
    _scope: str = ""
    _first: int = 0

    # Layers -----------------------------------------------------------------------------------------------

    def enter(self, layer: Layer) -> None:
        """What is emitted from here on belongs to `layer`."""
        self._scope = self.name(layer)
        self._first = len(self.nodes)

    def leave(self, layer: Layer, result: str, name: str | None = None) -> None:
        """The output of `layer` is `result`; a tensor that was made since `enter` takes the layer's name."""
        name = name or self.name(layer)
        renamed = False
        for node in self.nodes[self._first :]:
            for n, output in enumerate(node.output):
                if output == result:
                    node.output[n], renamed = name, True
            for n, given in enumerate(node.input):
                if given == result and renamed:
                    node.input[n] = name
        if renamed:
            self.parts = {i: tuple(name if p == result else p for p in parts) for i, parts in self.parts.items()}
        self._outputs[layer.index] = name if renamed else result

    def name(self, layer: Layer) -> str:
        """``054_convolutional``: sorts as the layers run, and is found by the number that Darknet prints."""
        return f"{layer.index:03d}_{layer.kind}"

    def output(self, index: int) -> str:
        """The tensor that layer `index` gave; -1 is the blob."""
        return self._outputs[index]

    def inputs(self, layer: Layer) -> list[str]:
        """The tensors that `layer` reads."""
        return [self._outputs[index] for index in layer.inputs]

    def arrays(self, layer: Layer) -> dict[str, Array]:
        """The layer's arrays in the weights file."""
        return self.weights.arrays(layer)

    # Nodes ------------------------------------------------------------------------------------------------

    def node(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Append a node with one output; the output's name."""
        return self.nodes_of(op, 1, *inputs, **attributes)[0]

    def nodes_of(self, op: str, count: int, *inputs: str, **attributes: Any) -> list[str]:
        """Append a node with `count` outputs; their names."""
        name = self._unused(f"{self._scope}.{op}")
        outputs = [name] if count == 1 else [f"{name}.{n}" for n in range(count)]
        self.nodes.append(self.onnx.helper.make_node(op, inputs, outputs, name, **attributes))
        return outputs

    def initializer(self, what: str, values: Array) -> str:
        """A tensor of this layer's own, such as its weights; its name."""
        name = self._unused(f"{self._scope}.{what}")
        self.initializers.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def constant(self, values: ArrayLike, dtype: Any = np.float32) -> str:
        """A small tensor that all nodes with the same values share; its name."""
        array = np.asarray(values, dtype)
        key = (array.shape, array.dtype.str, array.tobytes())
        if key not in self._constants:
            text = "x".join(map(str, array.ravel().tolist())) if array.size <= 6 else "values"
            name = self._unused(f"constant.{array.dtype.name}.{text}")
            self.initializers.append(self.onnx.numpy_helper.from_array(array, name))
            self._constants[key] = name
        return self._constants[key]

    def integers(self, *values: int) -> str:
        """A constant vector of int64, for shapes and axes."""
        return self.constant(values, np.int64)

    def _unused(self, name: str) -> str:
        chosen, count = name, 1
        while chosen in self._names:
            count += 1
            chosen = f"{name}_{count}"
        self._names.add(chosen)
        return chosen

    # Operations that several layers use -------------------------------------------------------------------

    def reshape(self, x: str, *shape: int) -> str:
        """(N, ...) as (N, *shape), for any N."""
        return self.node("Reshape", x, self.integers(0, *shape))

    def transpose(self, x: str, *order: int) -> str:
        """Axes in the given order, N left out: it stays first."""
        return self.node("Transpose", x, perm=[0, *(1 + axis for axis in order)])

    def split(self, x: str, sizes: Sequence[int], axis: int) -> list[str]:
        """Consecutive parts of `x` along an axis (N is 0)."""
        if len(sizes) == 1:
            return [x]
        return self.nodes_of("Split", len(sizes), x, self.integers(*sizes), axis=axis)

    def slice(self, x: str, axis: int, start: int, stop: int, step: int = 1) -> str:
        """``x[start:stop:step]`` along an axis (N is 0)."""
        return self.node("Slice", x, *(self.integers(n) for n in (start, stop, axis, step)))

    def concat(self, tensors: Sequence[str], axis: int) -> str:
        """Tensors one after the other along an axis (N is 0)."""
        return tensors[0] if len(tensors) == 1 else self.node("Concat", *tensors, axis=axis)

    def pad(self, x: str, shape: Shape, begin: Sequence[int], end: Sequence[int], value: float = 0.0) -> str:
        """A (C, H, W) border of one value around x, which has that shape."""
        if not any((*begin, *end)):
            return x
        return self.node("Pad", x, self.integers(0, *begin, 0, *end), self.constant(value))

    def per_channel(self, what: str, values: Array) -> str:
        """An initializer that multiplies or adds to (N, C, H, W) channel by channel."""
        return self.initializer(what, np.asarray(values, np.float32).reshape(1, -1, 1, 1))
