"""What is tapped, and how many pictures run together, changes no bit: random networks of layers that share memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import TinyNetwork, assert_close, blobs_of

from darknet_py import Network

ACTIVATIONS = st.sampled_from(["linear", "leaky", "mish", "normalize_channels_softmax_maxval"])


def add_any(tiny: TinyNetwork, draw: st.DataObject) -> None:
    """Append a layer of a kind that moves, joins, renames, overwrites or normalises what is there."""
    channels, _, _ = tiny.x.shape
    same = [index for index, output in enumerate(tiny.outputs) if output.shape == tiny.x.shape]
    beside = [index for index, output in enumerate(tiny.outputs) if output.shape[1:] == tiny.x.shape[1:]]
    kinds = ["convolution", "convolution", "depthwise", "softmax", "softmax", "pool", "dropout"]
    kinds += ["shortcut", "shortcut", "route", "rename"] if tiny.outputs else []
    kind = draw.draw(st.sampled_from(kinds))
    activation = draw.draw(ACTIVATIONS)
    if kind == "convolution":
        filters, size = draw.draw(st.sampled_from([8, 12, channels])), draw.draw(st.sampled_from([1, 3]))
        tiny.add("convolutional", {"filters": filters, "size": size, "pad": 1, "activation": activation})
    elif kind == "depthwise":
        options = {"filters": channels, "groups": channels, "size": 3, "pad": 1, "activation": activation}
        tiny.add("convolutional", options)
    elif kind == "softmax":
        groups = draw.draw(st.sampled_from([n for n in (1, 2, 3, 4) if channels % n == 0]))
        tiny.add("softmax", {"groups": groups, "temperature": draw.draw(st.sampled_from([1, 2]))})
    elif kind == "pool":
        tiny.add("maxpool", {"size": draw.draw(st.sampled_from([2, 3, 5])), "stride": 1})
    elif kind == "shortcut":
        tiny.add("shortcut", {"from": draw.draw(st.sampled_from(same)), "activation": activation})
    elif kind == "route":
        tiny.add("route", {"layers": f"-1,{draw.draw(st.sampled_from(beside))}"})
    elif kind == "rename":
        groups = 2 if channels % 2 == 0 else 1
        tiny.add("route", {"layers": -1, "groups": groups, "group_id": draw.draw(st.integers(0, groups - 1))})
    else:
        tiny.add("dropout")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_taps_and_batches(folder: Path, data: st.DataObject) -> None:
    sides = st.integers(1, 9)
    tiny = TinyNetwork((data.draw(st.sampled_from([1, 4, 8, 24])), data.draw(sides), data.draw(sides)))
    for _ in range(data.draw(st.integers(1, 7))):
        add_any(tiny, data)
    count = len(tiny.outputs)
    network = Network(*tiny.write(folder), threads=data.draw(st.sampled_from([1, 2])))
    everything = network.run(tiny.blob, taps=range(count))
    for index, found in everything.items():
        assert_close(found, tiny.outputs[index], f"layer {index}\n{tiny.cfg()}")
    some = data.draw(st.lists(st.integers(0, count - 1), min_size=1, max_size=3))
    for index, found in network.run(tiny.blob, taps=some).items():
        np.testing.assert_array_equal(found, everything[index], f"layer {index} of taps {some}\n{tiny.cfg()}")
    np.testing.assert_array_equal(network.run(tiny.blob)[0], everything[count - 1], tiny.cfg())
    blobs = blobs_of(tiny, 2)
    for together, blob in zip(network.run(blobs)[0], blobs, strict=True):
        np.testing.assert_array_equal(together, network.run(blob)[0], tiny.cfg())
