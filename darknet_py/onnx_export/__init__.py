"""Graph and weights → ONNX model: the way to other runtimes. Needs the package onnx, the ``[onnx]`` extra."""

from darknet_py.onnx_export.exporting import export_onnx, write_onnx

__all__ = ["export_onnx", "write_onnx"]
