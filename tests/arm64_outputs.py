"""What networks and pictures come to on this machine, for another machine to compare with: ``FOLDER`` gets arrays.

Run as a program by `test_arm64`, natively and under qemu. Everything is computed directly, without measuring; the
widest vectors that ARM and x86 share are those of four lanes.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from networks import TinyNetwork

from darknet_py import Detector, Network
from darknet_py.image import to_blob
from darknet_py.kernels.jit import LANES, TARGET
from darknet_py.shipped import shipped_pictures

__all__ = ["compute"]


def networks() -> dict[str, TinyNetwork]:
    """Convolutions of all kinds of widths, and what stands between them."""
    made = {}
    for channels, filters in ((3, 17), (8, 40), (13, 4)):
        tiny = TinyNetwork((channels, 11, 18), seed=channels)
        tiny.add("convolutional", {"filters": filters, "size": 3, "pad": 1, "activation": "mish", "batch_normalize": 1})
        tiny.add("convolutional", {"filters": filters, "size": 3, "pad": 1, "groups": filters, "activation": "leaky"})
        tiny.add("convolutional", {"filters": filters, "size": 1, "activation": "logistic"})
        tiny.add("shortcut", {"from": 0, "activation": "swish"})
        tiny.add("convolutional", {"filters": 24, "size": 3, "stride": 2, "pad": 1, "activation": "leaky"})
        tiny.add("maxpool", {"size": 3, "stride": 2})
        tiny.add("upsample", {"stride": 2})
        tiny.add("maxpool", {"size": 2, "stride": 2})
        tiny.add("avgpool")
        tiny.add("connected", {"output": 5})
        tiny.add("softmax")
        made[f"{channels} to {filters}"] = tiny
    return made


def compute(folder: Path) -> None:
    """Write an array for every layer of every network and precision, and the boxes of the built-in model."""
    arrays = {"lanes": np.array(LANES), "isa": np.array(TARGET.isa)}
    for name, tiny in networks().items():
        files = tiny.write(Path(tempfile.mkdtemp()))
        for precision in ("float32", "bfloat16"):
            network = Network(*files, threads=2, precision=precision)
            for index, output in network.run(tiny.blob, taps=range(len(tiny.sections))).items():
                arrays[f"{name} {precision} {index}"] = output
            for output in network.run(tiny.blob):
                arrays[f"{name} {precision}"] = output
    pixels = np.random.default_rng(1).integers(0, 256, (140, 310, 3), np.uint8)
    arrays["blob"] = to_blob(pixels, 170, 90)
    found = Detector(threads=1).detect(shipped_pictures()[0], thresh=0.01)
    arrays |= {"boxes": found.xyxy, "confidence": found.confidence, "class": found.class_id}
    np.savez(folder / f"{TARGET.isa}-{LANES}.npz", **arrays)


if __name__ == "__main__":
    compute(Path(sys.argv[1]))
