"""ncnn, its model made by pnnx from the ONNX file; float32 storage and arithmetic."""

from __future__ import annotations

from importlib.metadata import version as installed_version
from typing import Any

import ncnn
import numpy as np


def version() -> str:
    return installed_version("ncnn")


class Session:
    """Reduced precisions are switched off; packing, Winograd and sgemm stay as ncnn chooses."""

    precision = "float32"

    def __init__(self, files: dict[str, str], threads: int, options: dict[str, Any]) -> None:
        self._net = ncnn.Net()
        settings = self._net.opt
        settings.num_threads = threads
        settings.use_vulkan_compute = False
        for name in dir(settings):
            if name.startswith(("use_fp16_", "use_bf16_", "use_int8_")):
                setattr(settings, name, False)
        for load, file in ((self._net.load_param, "ncnn_param"), (self._net.load_model, "ncnn_bin")):
            if load(files[file]):
                raise RuntimeError(f"ncnn cannot load what pnnx wrote ({files[file]})")
        self.blob = np.load(files["blob"])
        self._outputs = list(self._net.output_names())

    def run(self) -> list[np.ndarray]:
        extractor = self._net.create_extractor()
        extractor.input("in0", ncnn.Mat(self.blob[0]))
        return [np.array(extractor.extract(name)[1])[None] for name in self._outputs]
