"""Networks in which layers share memory: every layer tapped, none tapped, and some kept, against the naive layers.

Convolutions swallow the shortcut behind them, routes let their inputs write into one buffer, dropout and single routes
only rename, chains of convolutions are computed band by band: what is right layer by layer can go wrong in company.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import Options, TinyNetwork, check, eager_chains

Sections = list[tuple[str, Options]]
Value = TypeVar("Value", int, str)

#: Of random convolutions: sums and halves meet (3 + 5 = 8 = 16 / 2, 3 + 16 = 19), so that routes fit shortcuts.
WIDTHS = (3, 5, 8, 16, 19)


def conv(filters: int, size: int = 3, activation: str = "leaky", **options: object) -> tuple[str, Options]:
    return "convolutional", {"filters": filters, "size": size, "pad": 1, "activation": activation, **options}


def route(*layers: int, **options: object) -> tuple[str, Options]:
    return "route", {"layers": ",".join(map(str, layers)), **options}


def shortcut(*layers: int, **options: object) -> tuple[str, Options]:
    return "shortcut", {"from": ",".join(map(str, layers)), "activation": "linear", **options}


def pool(size: int, **options: object) -> tuple[str, Options]:
    return "maxpool", {"size": size, "stride": 1, **options}


DROPOUT: tuple[str, Options] = ("dropout", {})

GRAPHS: dict[str, Sections] = {
    "route -1 alone behind the first layer": [conv(5), route(-1), conv(3)],
    "route -1 alone of a renamed blob": [DROPOUT, route(-1), conv(3)],
    "only renamed layers at the end": [conv(5), DROPOUT, route(-1), DROPOUT],
    "the blob in a route": [DROPOUT, conv(7), route(0, 1), conv(3)],
    "the blob twice in a route": [DROPOUT, route(0, 0), conv(3)],
    "a route is the output": [conv(5), conv(3), route(0, 1)],
    "a layer twice in one route": [conv(5), route(-1, -1), conv(3)],
    "a layer and its dropout in one route": [conv(5), DROPOUT, route(-1, -2), conv(3)],
    "a layer read by two routes": [conv(5), conv(3), route(0, 1), conv(4), route(0, 3), conv(2), route(0, 2, 4)],
    "two routes of the same layers in another order": [
        conv(5), conv(3), route(0, 1), conv(8, 1), route(1, 0), shortcut(-2),
    ],
    "a route in a route": [conv(5), conv(3), route(0, 1), conv(4), route(2, 3), conv(2), route(5, 4), conv(3)],
    "a route in two routes": [conv(5), conv(3), route(0, 1), conv(4), route(2, 3), route(3, 2), conv(3)],
    "a route of one route": [conv(5), conv(3), route(0, 1), route(-1), route(-1, 0), conv(3)],
    "a shortcut behind dropouts": [conv(8), conv(4), conv(8), DROPOUT, DROPOUT, shortcut(0), conv(3)],
    "a shortcut and another layer behind a dropout": [conv(8), conv(8), DROPOUT, shortcut(0), route(2), conv(3)],
    "a shortcut to a dropout of what it adds to": [conv(8), DROPOUT, conv(8), DROPOUT, shortcut(1), conv(3)],
    "a shortcut over a dropout of an in-place sum": [
        conv(8), conv(8), DROPOUT, shortcut(0), conv(8), DROPOUT, shortcut(3), conv(8, 1), DROPOUT, shortcut(-4),
    ],
    "a pyramid of pools": [
        conv(19), pool(5), route(-2), pool(9), route(-4), pool(13), route(-1, -3, -5, 0), conv(8), route(0), pool(3),
    ],
    "a pyramid from the largest down": [conv(5), pool(9), route(-2), pool(5), route(0, 1, 3), conv(4)],
    "a pyramid over a pool that a shortcut overwrites": [
        conv(8), pool(3), conv(8), shortcut(1), route(0), pool(7), route(-1, 3), conv(3),
    ],
    "1x1 windows with padding and stride that give back the input's size": [
        conv(9), ("convolutional", {"filters": 5, "size": 1, "padding": 3, "stride": 2, "activation": "linear"}),
    ],
    "half of a layer": [conv(16), route(-1, groups=2, group_id=1), conv(3), route(-1, -2), conv(3)],
    "half of half of a layer": [conv(12), route(-1, groups=2, group_id=1), route(-1, groups=3, group_id=2), conv(3)],
    "half of a route": [conv(6), conv(10), route(0, 1), route(-1, groups=2, group_id=1), conv(3)],
    "halves of several": [conv(6), conv(10), route(0, 1, groups=2, group_id=1), conv(3), route(-1, -2), conv(5)],
    "a route of half routes": [conv(8), route(0, groups=2), route(0, groups=2, group_id=1), route(-1, -2), conv(5)],
    "half of a dropout": [conv(8), DROPOUT, route(-1, groups=2, group_id=1), DROPOUT, conv(5)],
    "the CSP block of yolov4-tiny": [
        conv(16), route(-1, groups=2, group_id=1), conv(8), conv(8), route(-1, -2), conv(16, 1), route(-6, -1),
        ("maxpool", {"size": 2, "stride": 2}), conv(5),
    ],
    "spatial pyramid": [
        conv(5), ("maxpool", {"size": 5, "stride": 1}), route(-2), ("maxpool", {"size": 9, "stride": 1}), route(-4),
        ("maxpool", {"size": 13, "stride": 1}), route(-1, -3, -5, -6), conv(3),
    ],
    "residual": [conv(5), conv(3, 1), conv(5), shortcut(-3), conv(3, 1), conv(5), shortcut(-3)],
    "residual with activations": [conv(5), conv(5, activation="mish"), shortcut(-2, activation="leaky"), conv(3)],
    "a convolution added to itself": [conv(5), shortcut(-1), conv(3)],
    "a convolution for a shortcut and a route": [conv(5), conv(5), shortcut(-2), conv(3), route(-1, 1), conv(2)],
    "a shortcut in two routes": [conv(5), conv(5), shortcut(-2), route(-1, 0), conv(3), route(2, -1), conv(2)],
    "both ends of a shortcut in its route": [conv(5), conv(5), shortcut(-2), route(-1, -2, -3), conv(2)],
    "shortcut from a routed layer": [
        conv(5), conv(3), route(0, 1), conv(5), shortcut(0), conv(8), shortcut(2), conv(3),
    ],
    "shortcut from a route whose parts are read later": [
        conv(5), conv(3), route(0, 1), conv(8), DROPOUT, shortcut(2), route(0), conv(3),
    ],
    "shortcut from a route, behind a convolution of its part": [
        conv(5), conv(3), route(0, 1), route(0), conv(8), shortcut(2), conv(3),
    ],
    "shortcut from a layer, behind a convolution of its half": [
        conv(10), route(-1, groups=2, group_id=1), conv(10), shortcut(0), conv(3),
    ],
    "shortcut from a layer whose half is read later": [
        conv(10), route(-1, groups=2, group_id=1), conv(10), shortcut(0), route(1), conv(3),
    ],
    "shortcut from half a layer": [conv(10), route(-1, groups=2, group_id=1), conv(5), shortcut(1), conv(3)],
    "shortcut from a dropout": [conv(5), DROPOUT, conv(5), shortcut(1), DROPOUT, conv(5), shortcut(-2)],
    "shortcut behind a dropout": [conv(5), conv(5), DROPOUT, shortcut(0), conv(3)],
    "shortcut behind a route": [conv(5), conv(3), conv(8), route(0, 1), shortcut(2), conv(3)],
    "shortcut from fewer channels": [conv(3), conv(17), shortcut(0), conv(3)],
    "shortcut from more channels": [conv(40), conv(17), shortcut(0), conv(3)],
    "shortcut of three": [conv(5), conv(3), conv(7), shortcut(0, 1), conv(3)],
    "shortcut from a larger map": [conv(5), conv(8, stride=2), shortcut(0), conv(3)],
    "shortcut from a smaller map": [conv(5), conv(4, stride=2), route(0), shortcut(1), conv(3)],
    "shortcut weighted per layer": [
        conv(5), conv(5), shortcut(0, weights_type="per_feature", weights_normalization="relu"), conv(3),
    ],
    "shortcut of three weighted per channel": [
        conv(5), conv(3), conv(7),
        shortcut(0, 1, weights_type="per_channel", weights_normalization="softmax", activation="mish"), conv(3),
    ],
    "shortcut weighted, other names": [
        conv(17), conv(5), shortcut(0, weights_type="per_layer", weights_normalization="avg_relu"), conv(3),
    ],
    "shortcut behind a blurred convolution": [conv(5), conv(5, antialiasing=1), shortcut(0), conv(3)],
    "shortcut behind normalised channels": [conv(5), conv(5, activation="normalize_channels"), shortcut(0), conv(3)],
    "shortcut with normalised channels": [
        conv(5), conv(5), shortcut(0, activation="normalize_channels_softmax"), conv(3),
    ],
    "shortcut behind a depthwise convolution": [conv(19), conv(19, groups=19), shortcut(0), conv(3)],
    "shortcut behind an xnor convolution": [DROPOUT, conv(8), route(0), conv(8, xnor=1), shortcut(1), conv(3)],
    "shortcut behind the first layer": [conv(5), shortcut(0), shortcut(0, 1)],
    "squeeze and excite in a route": [
        conv(19), ("avgpool", {}), conv(4, 1, "swish"), conv(19, 1, "logistic"), ("scale_channels", {"from": 0}),
        conv(5), route(-1, -2, 0), conv(3),
    ],
    "one factor per pixel": [
        conv(5), conv(1, activation="logistic"), ("scale_channels", {"from": 0, "scale_wh": 1}), conv(3),
    ],
    "spatial attention": [conv(5), conv(5, 1, "logistic"), ("sam", {"from": -2}), route(-1, -2), conv(3)],
    "pooled and connected from a slice": [
        conv(5), conv(7), route(0, 1), route(-1, groups=2, group_id=1), ("avgpool", {}), route(2),
        ("connected", {"output": 9, "activation": "linear"}), ("softmax", {}),
    ],
    "softmax and reorg of a slice": [
        conv(8), conv(4), route(0, 1), route(0), ("reorg", {"stride": 1}), route(1), ("softmax", {"groups": 2}),
    ],
    "a pool of half the channels, a larger one of all": [
        conv(32), route(-1, groups=2), pool(3), route(0), pool(5), route(-1, -3), conv(3),
    ],
    "a pool of all channels, a larger one of half": [
        conv(32), pool(3), route(0, groups=2), pool(5), route(-1, -3), conv(3),
    ],
    "weights shared": [
        conv(9), conv(9), conv(9, share_index=-1, activation="mish"), conv(9, share_index=1, dilation=2),
    ],
    "weights shared with other strides": [
        conv(17), conv(17), conv(17, share_index=1, stride=2), route(1), conv(17, share_index=-3),
    ],
    "two heads, one routed from": [
        conv(8), conv(14), ("yolo", {"classes": 2, "num": 2}), route(-3), ("upsample", {"stride": 2}), conv(7),
        ("yolo", {"classes": 2}), route(2), conv(3),
    ],
}  # fmt: skip


def build(sections: Sections, shape: tuple[int, int, int]) -> TinyNetwork:
    tiny = TinyNetwork(shape, seed=len(sections))
    for kind, options in sections:
        tiny.add(kind, options)
    return tiny


@pytest.mark.parametrize("shape", [(3, 10, 6), (9, 4, 14)], ids=["few channels", "many channels"])
@pytest.mark.parametrize("name", GRAPHS)
def test_graph(folder: Path, name: str, shape: tuple[int, int, int]) -> None:
    sections = GRAPHS[name]
    count = len(sections)
    check(build(sections, shape), folder, kept=[[i] for i in range(count)] + [range(0, count, 2), range(1, count, 2)])


@pytest.mark.parametrize("sections", [[DROPOUT], [DROPOUT, route(-1)]], ids=["dropout", "dropout and route"])
def test_network_that_computes_nothing(folder: Path, sections: Sections) -> None:
    check(build(sections, (3, 5, 7)), folder)


def test_padding_and_stride_that_give_back_the_size(folder: Path) -> None:
    """3 x 3 pixels in and out, and yet not the same ones."""
    options = {"filters": 5, "size": 1, "padding": 1, "stride": 2, "activation": "linear"}
    check(build([conv(9), ("convolutional", options)], (3, 3, 3)), folder)


def test_weights_shared_with_the_first_layer(folder: Path) -> None:
    check(build([conv(3), conv(3, share_index=0)], (3, 10, 6)), folder)


class _Growing:
    """Draws one section after the other, such that each fits what is there."""

    def __init__(self, data: st.DataObject, tiny: TinyNetwork) -> None:
        self.data, self.tiny = data, tiny

    def number(self, low: int, high: int, name: str) -> int:
        return self.data.draw(st.integers(low, high), name)

    def pick(self, values: list[Value], name: str) -> Value:
        return self.data.draw(st.sampled_from(values), name)

    def same_size(self) -> list[int]:
        """Earlier layers with the height and width of the last."""
        return [i for i, y in enumerate(self.tiny.outputs) if y.shape[1:] == self.tiny.x.shape[1:]]

    def grow(self) -> None:
        often = ["convolutional", "route", "shortcut"]
        kind = self.pick([*often, *often, *often, "dropout", "maxpool", "upsample", "sam"], "kind")
        getattr(self, kind)(kind)

    def convolutional(self, kind: str) -> None:
        channels, height, width = self.tiny.x.shape
        filters = self.pick(sorted({*WIDTHS, *(len(self.tiny.outputs[i]) for i in self.same_size())}), "filters")
        options = {
            "filters": filters,
            "groups": self.pick([g for g in (1, 1, 2, 3, 5, filters) if channels % g == filters % g == 0], "groups"),
            "size": self.pick([1, 3], "size"),
            "pad": 1,
            "stride": self.pick([1, 1, 1, 1, 2], "stride") if min(height, width) > 1 else 1,
            "activation": self.pick(["leaky", "mish", "linear", "normalize_channels_softmax"], "activation"),
            "batch_normalize": self.number(0, 1, "batch_normalize"),
        }
        self.tiny.add(kind, options)

    def dropout(self, kind: str) -> None:
        self.tiny.add(kind)

    def maxpool(self, kind: str) -> None:
        self.tiny.add(kind, {"size": self.number(2, 3, "size"), "stride": self.pick([1, 1, 2], "stride")})

    def upsample(self, kind: str) -> None:
        _, height, width = self.tiny.x.shape
        self.tiny.add(kind, {"stride": 2 if height * width < 100 else 1})

    def route(self, kind: str) -> None:
        start = self.number(0, len(self.tiny.outputs) - 1, "first")
        size = self.tiny.outputs[start].shape[1:]
        fitting = [i for i, y in enumerate(self.tiny.outputs) if y.shape[1:] == size]
        layers = [start, *self.data.draw(st.lists(st.sampled_from(fitting), max_size=3), label="more")]
        if self.number(0, 1, "relative"):
            layers = [index - len(self.tiny.outputs) for index in layers]
        counts = [len(self.tiny.outputs[index]) for index in layers]
        groups = self.pick([g for g in (1, 1, 2, 3) if all(c % g == 0 for c in counts)], "groups")
        if sum(counts) // groups <= 60:
            self.tiny.add(*route(*layers, groups=groups, group_id=self.number(0, groups - 1, "group_id")))

    def shortcut(self, kind: str) -> None:
        others = self.data.draw(st.lists(st.sampled_from(self.same_size()), min_size=1, max_size=2), label="from")
        weighted = self.pick(["none", "none", "per_feature", "per_channel"], "weights_type")
        options: dict[str, object] = {
            "activation": self.pick(["linear", "leaky", "normalize_channels_softmax"], "activation")
        }
        if weighted != "none":
            options |= {"weights_type": weighted, "weights_normalization": self.pick(["relu", "softmax"], "norm")}
        self.tiny.add(*shortcut(*others, **options))

    def sam(self, kind: str) -> None:
        fitting = [i for i in self.same_size() if self.tiny.outputs[i].shape == self.tiny.x.shape]
        # Squared over and over, values would leave the range where a tolerance means something.
        if sum(kind == "sam" for kind, _ in self.tiny.sections) < 2:
            self.tiny.add(kind, {"from": self.pick(fitting, "from"), "activation": "tanh"})


def _any_graph(folder: Path, data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 10), st.integers(1, 12)), "(channels, height, width)")
    tiny = TinyNetwork(shape, data.draw(st.integers(0, 1 << 20), "seed"))
    growing = _Growing(data, tiny)
    tiny.add("convolutional", {"filters": growing.pick(list(WIDTHS), "filters"), "size": 3, "pad": 1})
    for _ in range(data.draw(st.integers(1, 12), "layers")):
        growing.grow()
    kept = data.draw(st.sets(st.sampled_from(range(len(tiny.outputs))), min_size=1), "kept")
    chains = eager_chains(data.draw(st.sampled_from([1, 4096]), "band_bytes"))
    with chains if data.draw(st.booleans(), "chains") else nullcontext():
        check(tiny, folder, kept=[sorted(kept)])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_graph(folder: Path, data: st.DataObject) -> None:
    _any_graph(folder, data)


@pytest.mark.slow
@settings(max_examples=3000, deadline=None)
@given(st.data())
def test_many_graphs(folder: Path, data: st.DataObject) -> None:
    _any_graph(folder, data)
