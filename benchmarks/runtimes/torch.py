"""PyTorch: the module that pnnx writes, through torch.compile with frozen weights."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

import numpy as np
import torch


def version() -> str:
    return str(torch.__version__)


class Session:
    """The default backend (inductor); the first call compiles."""

    precision = "float32"

    def __init__(self, files: dict[str, str], threads: int, options: dict[str, Any]) -> None:
        import torch._inductor.config as inductor

        inductor.freezing = True
        torch.set_num_threads(threads)
        spec = importlib.util.spec_from_file_location("converted", files["torch_module"])
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        os.chdir(os.path.dirname(files["torch_module"]))  # it opens its weights by a bare name
        self._model = torch.compile(module.Model().eval())
        self.blob = np.load(files["blob"])

    def run(self) -> list[np.ndarray]:
        with torch.no_grad():
            found = self._model(torch.from_numpy(self.blob))
        return [output.numpy() for output in (found if isinstance(found, tuple | list) else (found,))]
