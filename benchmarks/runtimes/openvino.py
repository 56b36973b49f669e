"""OpenVINO's CPU plugin: in float32, or in the precision it chooses for the machine."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino


def version() -> str:
    return str(openvino.__version__).split("-")[0]


class Session:
    """``options["precision"]`` is the INFERENCE_PRECISION_HINT; without it the plugin decides."""

    def __init__(self, files: dict[str, str], threads: int, options: dict[str, Any]) -> None:
        config = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads}
        if "precision" in options:
            config["INFERENCE_PRECISION_HINT"] = options["precision"]
        self._model = openvino.Core().compile_model(files["onnx_mish"], "CPU", config)
        hint = self._model.get_property("INFERENCE_PRECISION_HINT")
        self.precision = str(hint.to_string() if hasattr(hint, "to_string") else hint)
        self.precision = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}.get(self.precision, self.precision)
        self._request = self._model.create_infer_request()
        self.blob = np.load(files["blob"])

    def run(self) -> list[np.ndarray]:
        found = self._request.infer({0: self.blob}, share_inputs=True)
        return [np.array(found[output]) for output in self._model.outputs]
