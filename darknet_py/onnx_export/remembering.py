"""Emitters of the layers that a sequence goes through."""

from __future__ import annotations

from typing import NoReturn

from darknet_py.errors import UnsupportedError
from darknet_py.layers import History, Recurrent
from darknet_py.onnx_export.emission import Emission

__all__ = ["history", "recurrent"]


def recurrent(g: Emission, layer: Recurrent) -> NoReturn:
    """Nothing: a model of Darknet's shape has no inputs and outputs for what is kept from run to run."""
    raise UnsupportedError(
        f"{layer.where}: keeps what it remembers from run to run, for which an exported model would have no place; run "
        "it with darknet_py.Network and a session"
    )


def history(g: Emission, layer: History) -> str:
    """The input, and zeros."""
    rest = layer.shape.c - layer.in_shape.c
    return g.node("Pad", g.inputs(layer)[0], g.integers(0, 0, 0, 0, 0, rest, 0, 0), g.constant(0))
