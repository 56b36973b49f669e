"""Small networks whose outputs OpenCV 4 was asked for: their cfgs, weights and blobs, made the same wherever they are.

``python tests/opencv_nets.py FOLDER`` writes them, then ``python tests/record_opencv.py FOLDER
tests/recordings/opencv4.npz`` records what OpenCV 4 gives; that needs nothing but ``pip install "opencv-python<5"``.
"""

from __future__ import annotations

import shutil
import struct
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from darknet_py.graph import load_graph
from darknet_py.shipped import resolve_cfg, resolve_model, shipped_models, shipped_pictures
from darknet_py.weights import SeededWeights
from darknet_py.weights_writer import write_weights

#: (width, height) of the blobs: the cfgs' own, another, and a batch of three.
SIZES = ((32, 48, 1), (48, 32, 1), (32, 32, 3))

_NET = "[net]\nwidth=32\nheight=48\nchannels=3\n"


def _conv(
    filters: int, size: int = 3, stride: int = 1, activation: str = "leaky", norm: int = 1, groups: int = 1
) -> str:
    return (
        f"[convolutional]\nbatch_normalize={norm}\nfilters={filters}\nsize={size}\nstride={stride}\npad=1\n"
        f"groups={groups}\nactivation={activation}\n"
    )


def _yolo(mask: str, **options: object) -> str:
    more = "".join(f"{key}={value}\n" for key, value in options.items())
    return f"[yolo]\nmask={mask}\nanchors=6,8,14,9,11,20,25,14,30,40,50,28\nclasses=3\nnum=6\n{more}"


CFGS = {
    "yolo": _NET + _conv(8, 3, 2) + _conv(16, 3, 2, "mish") + "[route]\nlayers=-1\ngroups=2\ngroup_id=1\n"
    + _conv(8) + _conv(16, 1) + "[shortcut]\nfrom=1\nactivation=linear\n" + _conv(16, 3, 2)
    + "[maxpool]\nsize=5\nstride=1\n[route]\nlayers=-1,-2\n" + _conv(24, 1, 1, "linear", 0)
    + _yolo("3,4,5", scale_x_y=1.2)
    + "[route]\nlayers=-3\n" + _conv(8, 1) + "[upsample]\nstride=2\n[route]\nlayers=-1,5\n"
    + _conv(24, 1, 1, "linear", 0) + _yolo("0,1,2", scale_x_y=1.05),
    "new_coords": _NET + _conv(8, 3, 2, "swish") + _conv(16, 3, 2, "logistic") + _conv(16, 3, 2, "relu", groups=16)
    + "[shortcut]\nfrom=-1\nactivation=leaky\n" + _conv(24, 1, 1, "logistic", 0)
    + _yolo("0,1,2", scale_x_y=2.0, new_coords=1, nms_kind="diounms"),
    "thresh": _NET + _conv(8, 3, 2) + "[maxpool]\nsize=2\nstride=2\n" + _conv(24, 1, 1, "linear", 0)
    + _yolo("0,1,2", thresh=0.05, nms_threshold=0.3),
    "region": _NET + _conv(8, 3, 2) + _conv(8, 3, 2) + "[reorg]\nstride=2\n[route]\nlayers=-1\n" + _conv(16, 3)
    + _conv(24, 1, 1, "linear", 0)
    + "[region]\nanchors=1,2,2,1,3,4\nclasses=3\ncoords=4\nnum=3\nsoftmax=1\nthresh=0.15\n",
    "classifier": _NET + _conv(8, 3, 2) + "[avgpool]\n[dropout]\nprobability=.5\n" + _conv(10, 1, 1, "linear", 0)
    + "[softmax]\ngroups=1\n",
    "squeeze": _NET + _conv(8, 3, 2, "swish") + "[avgpool]\n" + _conv(8, 1, 1, "logistic", 0)
    + "[scale_channels]\nfrom=-3\n" + _conv(6, 3, 2, "mish", 0),
}  # fmt: skip

#: Of one size of input only: its weights are as many as its pixels.
FIXED = {
    "connected": _NET + _conv(4, 3, 4) + "[connected]\noutput=12\nactivation=leaky\n[dropout]\n[connected]\noutput=7\n"
    "activation=linear\n[softmax]\n[cost]\ntype=sse\n",
}  # fmt: skip


def blob(size: tuple[int, int, int]) -> NDArray[np.float32]:
    """Pixels (N, 3, H, W) in [0, 1] for (width, height, N)."""
    width, height, images = size
    return np.random.default_rng(width).random((images, 3, height, width), np.float32)


def write(folder: Path) -> None:
    """Cfgs, weights and blobs; the built-in model with its pictures; shipped cfgs with a header for weights."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in (CFGS | FIXED).items():
        cfg = folder / f"{name}.cfg"
        cfg.write_text(text)
        graph = load_graph(cfg)
        write_weights(cfg.with_suffix(".weights"), graph, SeededWeights(graph, 5))
    for number, size in enumerate(SIZES):
        np.save(folder / f"blob-{number}.npy", blob(size))
    cfg, weights = resolve_model()
    shutil.copy(cfg, folder / "built-in.cfg")
    shutil.copy(weights, folder / "built-in.weights")
    for picture in shipped_pictures():
        shutil.copy(picture, folder)
    (folder / "shipped").mkdir(exist_ok=True)
    for name in shipped_models():
        shutil.copy(resolve_cfg(name), folder / "shipped" / f"{name}.cfg")
        # OpenCV's importer never looks whether a weights file is long enough, and names need no weights.
        (folder / "shipped" / f"{name}.weights").write_bytes(struct.pack("<iiiQ", 0, 2, 5, 0))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
