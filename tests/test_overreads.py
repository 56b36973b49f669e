"""How far steps read beyond what they are about: the arena ends where the table says, and behind it nobody may read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="protects pages as Linux does")

#: Runs networks whose arenas end at a page that faults: of every kind of step, at sizes that leave tails.
PROGRAM = """
import ctypes, faulthandler, mmap, sys
import numpy as np
from networks import TinyNetwork, eager_chains, residual
from darknet_py import Network
from darknet_py import tuning
from darknet_py.plan import state as state_module

faulthandler.enable()
tuning._SMALLEST_BFLOPS = 0
libc = ctypes.CDLL(None, use_errno=True)
kept = []


def before_a_page_that_faults(count):
    size = -(-4 * count // 64) * 64
    pages = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, pages + mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    assert libc.mprotect(ctypes.c_void_p(start + pages), mmap.PAGESIZE, 0) == 0
    kept.append(memory)
    return np.frombuffer(memory, np.float32, count, pages - size)


def alone(shape, *layers):
    tiny = TinyNetwork(shape)
    for kind, options in layers:
        tiny.add(kind, options)
    return tiny


def run(tiny, folder, precision="float32"):
    network = Network(*tiny.write(folder), threads=2, precision=precision)
    expected = network.run(tiny.blob)[0]
    aligned, state_module.aligned = state_module.aligned, before_a_page_that_faults
    state = state_module.State(network.plan)
    state_module.aligned = aligned
    state.blob[...] = tiny.blob.transpose(1, 2, 0)
    network.forward(state)
    found = state.output(network.graph.output.index)
    assert np.array_equal(found.transpose(2, 0, 1), expected)


from pathlib import Path
folder = Path(sys.argv[1])
for channels in (1, 5, 8, 17, 33):
    shape = (channels, 9, 14)
    conv = {"filters": channels, "pad": 1, "activation": "leaky"}
    mish = conv | {"activation": "mish"}
    for precision in ("float32", "bfloat16"):
        for options in (conv, mish):
            for size in (1, 3, 5, 7):
                for stride in (1, 2, 3):
                    window = {"size": size, "stride": stride}
                    run(alone(shape, ("convolutional", options | window)), folder, precision)
                    depthwise = options | window | {"groups": channels}
                    run(alone(shape, ("convolutional", depthwise)), folder, precision)
                    run(alone(shape, ("maxpool", window)), folder, precision)
        for kind, options in (
            ("local_avgpool", {"size": 3}), ("avgpool", {}), ("upsample", {"stride": 2}), ("softmax", {}),
            ("dropout", {}), ("reorg", {"stride": 1}), ("connected", {"output": 5, "activation": "mish"}),
        ):
            run(alone(shape, (kind, options)), folder, precision)
        block = [("convolutional", conv | {"size": 3})] * 2 + [("shortcut", {"from": -2, "activation": "mish"})]
        run(alone(shape, *block), folder, precision)
        run(alone(shape, *block, ("convolutional", conv | {"size": 3, "antialiasing": 1})), folder, precision)
    run(alone(shape, ("convolutional", {"filters": 7, "activation": "linear"}), ("yolo", {"classes": 2})), folder)
    run(alone((8 * channels, 9, 14), ("convolutional", mish | {"size": 3})), folder, "bfloat16")
run(residual(), folder)
with eager_chains():
    run(residual(), folder)
print("as ever")
"""


@pytest.mark.parametrize("algorithms", ["direct", "F4,F2,S2", "F6-lean,S4-lean"])
def test_reads_end_where_the_table_says(tmp_path: Path, algorithms: str) -> None:
    environment = os.environ | {
        "PYTHONPATH": str(Path(__file__).parent),
        "DARKNET_PY_CONVOLUTION": algorithms,
        "DARKNET_PY_GUARD": "0",
    }
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0 and ran.stdout == "as ever\n", ran.stderr[-3000:]
