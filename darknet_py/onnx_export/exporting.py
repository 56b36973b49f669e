"""The whole export: layers in order, outputs, metadata, and the file."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from darknet_py.arguments import as_integer, as_path
from darknet_py.errors import OptionError, UnsupportedError
from darknet_py.files import write_whole
from darknet_py.graph import Graph, load_graph
from darknet_py.layers import (
    Activation,
    AvgPool,
    BatchNorm,
    Connected,
    Contrastive,
    ConvLstm,
    Convolutional,
    Cost,
    Crnn,
    Crop,
    Deconvolutional,
    Detection,
    Dropout,
    Empty,
    GaussianYolo,
    Gru,
    Head,
    History,
    Implicit,
    Iseg,
    L2Norm,
    Layer,
    Local,
    LocalAvgPool,
    Lstm,
    MaxPool,
    Normalization,
    Region,
    Reorg,
    Rnn,
    Route,
    Sam,
    ScaleChannels,
    Shortcut,
    Softmax,
    Upsample,
    Yolo,
)
from darknet_py.onnx_export import heads, joining, normalizing, remembering, windows
from darknet_py.onnx_export.emission import BLOB, Emission
from darknet_py.plaintext import unicode_only
from darknet_py.weights import WeightsFile, WeightsSource

if TYPE_CHECKING:
    import onnx

__all__ = ["EMITTERS", "export_onnx", "write_onnx"]

OPSET = 18
#: As old as the opset allows, so that runtimes of its time read the file.
_IR_VERSION = 8

#: Layer type → emitter.
EMITTERS: dict[type[Layer], Callable[[Emission, Any], str]] = {
    Activation: normalizing.activation,
    AvgPool: windows.avgpool,
    BatchNorm: normalizing.batchnorm,
    ConvLstm: remembering.recurrent,
    Connected: windows.connected,
    Contrastive: joining.cost,
    Convolutional: windows.convolutional,
    Cost: joining.cost,
    Crop: joining.crop,
    Deconvolutional: windows.deconvolutional,
    Detection: heads.detection,
    Crnn: remembering.recurrent,
    Dropout: joining.dropout,
    Empty: joining.dropout,
    GaussianYolo: heads.gaussian_yolo,
    Implicit: joining.implicit,
    Iseg: normalizing.iseg,
    L2Norm: normalizing.l2norm,
    Local: windows.local,
    Gru: remembering.recurrent,
    History: remembering.history,
    LocalAvgPool: windows.local_avgpool,
    Lstm: remembering.recurrent,
    MaxPool: windows.maxpool,
    Normalization: normalizing.normalization,
    Region: heads.region,
    Reorg: joining.reorg,
    Rnn: remembering.recurrent,
    Route: joining.route,
    Sam: joining.sam,
    ScaleChannels: joining.scale_channels,
    Shortcut: joining.shortcut,
    Softmax: joining.softmax,
    Upsample: joining.upsample,
    Yolo: heads.yolo,
}


def export_onnx(
    graph: Graph | str | Path,
    weights: WeightsSource | str | Path,
    *,
    decode: bool = False,
    batch: int | str = 1,
    names: Sequence[str] = (),
    mish: str = "arithmetic",
) -> onnx.ModelProto:
    """Turn a network into an ONNX model (opset 18) with batch norm folded.

    Parameters
    ----------
    graph : Graph, str or Path
        Also the ``.cfg`` file, or the name of a shipped one.
    weights : str, Path, WeightsFile or SeededWeights
        The ``.weights`` file that belongs to it.
    decode : bool
        False: the outputs are the heads (or the last layer where there is none), activated as Darknet does and in
        its layout: (N, C, H, W), for region (N, H, W, C). True: ``boxes``, (N, candidates, 4), centre x, centre y,
        width and height as fractions of the network's input, and ``scores``, (N, candidates, classes), in Darknet's
        order of candidates; what is left to do is the threshold, NMS and, for a letterboxed picture, its border.
    batch : int or "dynamic"
        Pictures per run, N.
    names : sequence of str
        Class names, for the metadata.
    mish : {"arithmetic", "operator"}
        How Mish is written: in six elementary operators, which ONNX Runtime runs fastest, or as the operator
        Mish, which OpenVINO, OpenCV and ncnn recognise.

    Returns
    -------
    onnx.ModelProto
        What ``onnx.save`` writes. Its input ``blob`` is (N, C, H, W), float32, RGB in [0, 1]. Names carry the layer's
        index in the cfg: the tensor ``054_convolutional`` is the output of layer 54, ``054_convolutional.weights`` its
        weights. Layers that compute nothing ([dropout], a [route] of one layer) have no tensor of their own.
        ``metadata_props`` holds what decoding needs (see `metadata`).

    Raises
    ------
    UnsupportedError
        If the package onnx is missing, or a layer has no ONNX form; names the layer.
    CfgError, WeightsError
        If a file cannot be read as one.
    OptionError
        If an argument is outside what is listed.
    """
    onnx = _load_onnx()
    batch = _check_options(batch, mish)
    graph = graph if isinstance(graph, Graph) else load_graph(graph)
    if isinstance(weights, str | bytes | os.PathLike):
        with WeightsFile(as_path("weights", weights, "a .weights file"), graph) as source:
            return export_onnx(graph, source, decode=decode, batch=batch, names=names, mish=mish)
    if decode and not graph.heads:
        raise UnsupportedError(f"{graph.file}: no detection head, so there are no boxes; export the raw output")
    g = Emission(onnx, graph, weights, batch, mish)
    _emit_layers(g)
    outputs = _decoded_outputs(g) if decode else _raw_outputs(g)
    return _model(g, outputs, metadata(graph, decode=decode, names=names))


def _emit_layers(g: Emission) -> None:
    for layer in g.graph.layers:
        emitter = EMITTERS.get(type(layer))
        if emitter is None:
            raise UnsupportedError(f"{layer.where}: this layer type has no ONNX form here")
        g.enter(layer)
        result = emitter(g, layer)
        g.leave(layer, result, f"{g.name(layer)}.planes" if layer.by_cells else None)


def _load_onnx() -> ModuleType:
    try:
        return importlib.import_module("onnx")
    except ImportError as error:
        raise UnsupportedError(
            f'ONNX export needs the package onnx ({error}): pip install "onnx>=1.17", '
            'or in a checkout pip install ".[onnx]"'
        ) from error


def _check_options(batch: int | str, mish: str) -> int | str:
    if mish not in ("arithmetic", "operator"):
        raise OptionError(f'mish={mish!r}: expected "arithmetic" or "operator"')
    if isinstance(batch, str) and batch == "dynamic":
        return batch
    try:
        return as_integer("batch", batch, low=1)
    except OptionError as error:
        raise OptionError(f'{error}, or "dynamic"') from None


def _raw_outputs(g: Emission) -> list[tuple[str, tuple[int, ...]]]:
    found: list[tuple[str, tuple[int, ...]]] = []
    for layer in g.graph.heads or (g.graph.output,):
        c, h, w = layer.shape
        name = g.name(layer)
        g.enter(layer)
        if layer.by_cells:
            g.leave(layer, g.transpose(g.output(layer.index), 1, 2, 0))
            found.append((name, (h, w, c)))
            continue
        if g.output(layer.index) != name:  # a head or last layer that computes nothing
            g.leave(layer, g.node("Identity", g.output(layer.index)))
        found.append((name, (c, h, w)))
    return found


def _decoded_outputs(g: Emission) -> list[tuple[str, tuple[int, ...]]]:
    boxes, scores = [], []
    classes = g.graph.classes
    count = 0
    for head in g.graph.heads:
        g.enter(head)
        box, score = heads.decode(g, head)
        missing = classes - head.classes
        if missing:
            score = g.node("Pad", score, g.integers(0, 0, 0, 0, 0, missing), g.constant(0))
        boxes.append(box)
        scores.append(score)
        columns, rows = head.cells
        count += columns * rows * head.num
    for name, tensors in (("boxes", boxes), ("scores", scores)):
        joined = g.concat(tensors, 1)
        g.nodes.append(g.onnx.helper.make_node("Identity", [joined], [name], name))
    return [("boxes", (count, 4)), ("scores", (count, classes))]


def _model(g: Emission, outputs: Sequence[tuple[str, tuple[int, ...]]], properties: dict[str, str]) -> onnx.ModelProto:
    helper, floats = g.onnx.helper, g.onnx.TensorProto.FLOAT
    batch = "batch" if g.batch == "dynamic" else g.batch
    nodes, used = _needed(g, [name for name, _ in outputs])
    model: onnx.ModelProto = helper.make_model(
        helper.make_graph(
            nodes,
            unicode_only(g.graph.name),
            [helper.make_tensor_value_info(BLOB, floats, [batch, *g.graph.blob])],
            [helper.make_tensor_value_info(name, floats, [batch, *shape]) for name, shape in outputs],
            [tensor for tensor in g.initializers if tensor.name in used],
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
        producer_name="darknet-py",
    )
    helper.set_model_props(model, properties)
    return model


def _needed(g: Emission, wanted: Sequence[str]) -> tuple[list[Any], set[str]]:
    """The nodes that `wanted` depends on, in order, and the names of all tensors they read."""
    used, kept = set(wanted), []
    for node in reversed(g.nodes):
        if used.intersection(node.output):
            kept.append(node)
            used.update(node.input)
    return kept[::-1], used


def metadata(graph: Graph, *, decode: bool, names: Sequence[str] = ()) -> dict[str, str]:
    """What a program needs to make boxes of the outputs, as text.

    ``names`` and ``heads`` are JSON: of each head, its layer, type, output, anchors in mask order and options.
    """
    found = {
        "darknet_cfg": unicode_only(graph.name),
        "input": "RGB in [0, 1]",
        "letter_box": str(int(graph.letter_box)),
        "heads": json.dumps([_describe(head) for head in graph.heads]),
    }
    if graph.heads:
        last = graph.heads[-1]
        found |= {
            "classes": str(graph.classes),
            "nms_kind": last.nms_kind,
            "beta_nms": str(last.beta_nms),
            "outputs": "decoded" if decode else "raw",
        }
    if decode:
        found["box_format"] = "cxcywh, fractions of the network's input"
    if names:
        found["names"] = json.dumps([unicode_only(name) for name in names], ensure_ascii=False)
    return found


def _describe(head: Head) -> dict[str, Any]:
    described: dict[str, Any] = {
        "layer": head.index,
        "type": head.kind,
        "output": f"{head.index:03d}_{head.kind}",
        "shape": list(head.shape),
        "classes": head.classes,
        "anchors": [list(pair) for pair in head.used_anchors],
    }
    for option in ("scale_x_y", "new_coords", "yolo_point", "classfix", "side", "num", "sqrt"):
        if hasattr(head, option):
            described[option] = getattr(head, option)
    return described


def write_onnx(model: onnx.ModelProto, path: str | os.PathLike[str]) -> None:
    """Write a model to a file, which appears whole or not at all.

    Raises
    ------
    OptionError
        If the file cannot be written.
    OutputError
        If the disk is full, or fails.
    UnsupportedError
        If the model is larger than the 2 GB that one ONNX file can hold.
    """
    try:
        data = model.SerializeToString()
    except ValueError as error:
        raise UnsupportedError(f"{path}: the model is larger than the 2 GB one ONNX file can hold") from error
    write_whole(path, data, lasting=True)
