"""Random valid networks, each from one seed: layers of every kind in any order, with the naive output of each."""

from __future__ import annotations

from collections.abc import Callable

import naive
import numpy as np
from networks import TinyNetwork

from fuzz import remembering
from fuzz.grower import CHANNELS, MOST_VALUES, Grower, Options

__all__ = ["grow"]

_HEADS = ("yolo", "Gaussian_yolo", "region", "detection")


def _convolution(grower: Grower) -> Options:
    c, h, w = grower.shape
    size = int(str(grower.one_of(1, 1, 3, 3, 3, 2, 4, 5, 7)))
    options: Options = {"filters": grower.filters(), "size": size, "activation": grower.activation()}
    if grower.chance(0.8):
        options["pad"] = 1
    else:
        options["padding"] = grower.one_of(0, min(1, size - 1), size // 2, size - 1)
    pad = size // 2 if "pad" in options else int(str(options["padding"]))
    if min(h, w) + 2 * pad < size:
        options |= {"size": 1, "pad": 1}
        size, pad = 1, 0
    if grower.chance(0.3):
        options["stride"] = grower.one_of(2, 2, 3)
        if grower.chance(0.2):
            options[str(grower.one_of("stride_x", "stride_y"))] = grower.one_of(1, 2, 3)
    if grower.chance(0.04):
        options["activation"] = grower.one_of(*naive.CHANNELWISE)
    if grower.chance(0.5):
        options["batch_normalize"] = 1
    if grower.chance(0.15) and c * h * w <= MOST_VALUES:
        options |= {"filters": c, "groups": c}
        if grower.chance(0.2) and 2 * c * h * w <= MOST_VALUES:
            options["filters"] = 2 * c
    elif grower.chance(0.1):
        groups = grower.one_of(*(g for g in range(1, c + 1) if c % g == 0))
        options |= {"groups": groups, "filters": int(str(groups)) * int(str(grower.one_of(1, 2, 3, 4)))}
    if size > 1 and grower.chance(0.08):
        options["dilation"] = grower.one_of(2, 3)
    elif grower.chance(0.05) and "groups" not in options and c * size * size < 200:
        options["flipped"] = 1
    elif grower.chance(0.05) and min(h, w) + 2 * pad - size >= 2:
        options["antialiasing"] = grower.one_of(1, 2)
    return options


def _xnor(grower: Grower) -> Options:
    """On the blob alone: of what is computed, signs of what is almost zero are anybody's."""
    options = {"filters": grower.filters(), "size": 3, "pad": 1, "xnor": 1, "activation": grower.activation()}
    return options | ({"batch_normalize": 1} if grower.chance(0.5) else {})


def _shared(grower: Grower) -> Options | None:
    """A convolution with the weights of one before."""
    c, h, w = grower.shape
    fitting = [i for i, arrays in grower.tiny.convolutions.items() if arrays["weights"].shape[1] == c]
    for layer in grower.random.permutation(fitting):
        kind, options = grower.tiny.sections[int(layer)]
        size = int(str(options.get("size", 1)))
        if kind == "convolutional" and not {"groups", "flipped", "xnor", "share_index"} & set(options):
            if len(grower.tiny.convolutions[int(layer)]["weights"]) * h * w > MOST_VALUES or min(h, w) < size:
                continue
            kept = {k: v for k, v in options.items() if k in ("filters", "size", "pad", "batch_normalize")}
            return kept | {"pad": 1, "share_index": grower.reference(int(layer)), "activation": grower.activation()}
    return None


def _connected(grower: Grower) -> Options | None:
    if grower.tiny.x.size > 2000:
        return None
    options: Options = {"output": grower.one_of(*CHANNELS), "activation": grower.activation()}
    return options | ({"batch_normalize": 1} if grower.chance(0.3) else {})


def _pool(grower: Grower) -> Options | None:
    c, h, w = grower.shape
    size = int(str(grower.one_of(2, 2, 3, 3, 5, 7, 9, 13)))
    options: Options = {"size": size, "stride": grower.one_of(1, 1, 2, 2, 3)}
    if size > 2 * min(h, w) or c * (h + 1) * (w + 1) > 2 * MOST_VALUES:
        return None
    if grower.chance(0.1):
        options["padding"] = grower.one_of(size // 2, size - 1)
    if grower.chance(0.1):
        options[str(grower.one_of("stride_x", "stride_y"))] = grower.one_of(1, 2)
    return options if _touches(options, h, w) else None


def _touches(options: Options, h: int, w: int) -> bool:
    """Whether every window of a pool holds a value, and there is one."""
    size = int(str(options["size"]))
    padding = int(str(options.get("padding", size - 1)))
    for side, key in ((h, "stride_y"), (w, "stride_x")):
        stride = int(str(options.get(key, options["stride"])))
        last = (side + padding - size) // stride
        if side + padding < size or last * stride - padding // 2 >= side or size - padding // 2 <= 0:
            return False
    return True


def _blurred_pool(grower: Grower) -> Options | None:
    c, h, w = grower.shape
    return {"size": 2, "stride": 2, "antialiasing": 1} if min(h, w) > 2 and c * h * w < MOST_VALUES else None


def _depth_pool(grower: Grower) -> Options | None:
    c, _, _ = grower.shape
    divisors = [count for count in range(1, c + 1) if c % count == 0]
    return {"maxpool_depth": 1, "out_channels": grower.one_of(*divisors)}


def _route(grower: Grower) -> Options | None:
    _, h, w = grower.shape
    parts = grower.same()[: int(grower.random.integers(1, 5))]
    options: Options = {"layers": ",".join(str(grower.reference(part)) for part in parts)}
    channels = [len(grower.tiny.outputs[part]) for part in parts]
    if sum(channels) * h * w > 2 * MOST_VALUES:
        return None
    groups = [g for g in (2, 3, 4) if all(count % g == 0 for count in channels)]
    if groups and grower.chance(0.4):
        chosen = int(str(grower.one_of(*groups)))
        options |= {"groups": chosen, "group_id": int(grower.random.integers(chosen))}
    return options


def _shortcut(grower: Grower) -> Options | None:
    unequal = grower.chance(0.15)
    others = grower.same(channels=not unequal)[: int(grower.random.integers(1, 4))]
    if unequal:
        others = others[:1]
    if not others:
        return None
    listed = ",".join(str(grower.reference(other)) for other in others)
    options: Options = {"from": listed, "activation": grower.activation(0.1)}
    if grower.chance(0.15) and not unequal:
        options["weights_type"] = grower.one_of("per_feature", "per_channel")
        options["weights_normalization"] = grower.one_of("relu", "softmax")
    return options


def _strided_shortcut(grower: Grower) -> Options | None:
    """The addition of a map of another size, as pjreddie's networks have it."""
    _, h, w = grower.shape
    fitting = [
        i for i, y in enumerate(grower.tiny.outputs)
        if y.shape[1:] != (h, w) and (y.shape[1] % h == 0 == y.shape[2] % w or h % y.shape[1] == 0 == w % y.shape[2])
        and (y.shape[1] * w == y.shape[2] * h)
    ]  # fmt: skip
    if not fitting:
        return None
    return {"from": int(str(grower.one_of(*fitting))), "activation": "linear"}


def _scale_channels(grower: Grower) -> Options | None:
    c, h, w = grower.shape
    fitting = [
        i for i, y in enumerate(grower.tiny.outputs) if len(y) == c and (h, w) == (1, 1) and y.size <= MOST_VALUES
    ]
    return {"from": grower.one_of(*fitting), "activation": grower.activation(0.1)} if fitting else None


def _sam(grower: Grower) -> Options | None:
    fitting = [layer for layer in grower.same(channels=True) if layer != len(grower.tiny.outputs) - 1]
    return {"from": fitting[0], "activation": grower.activation(0.1)} if fitting else None


def _upsample(grower: Grower) -> Options | None:
    c, h, w = grower.shape
    options: Options = {"stride": grower.one_of(2, 2, 3)}
    if grower.chance(0.2):
        options["scale"] = 0.5
    if grower.chance(0.1) and h % 2 == 0 == w % 2:
        return {"stride": -2, "scale": 0.25}
    return options if c * h * w * 9 <= 2 * MOST_VALUES else None


def _reorg(grower: Grower) -> Options | None:
    c, h, w = grower.shape
    if c * h * w > MOST_VALUES or h % 2 or w % 2 or c % 4:
        return None
    return {"stride": 2, "reverse": 1} if grower.chance(0.2) else {"stride": 2}


def _reorg3d(grower: Grower) -> Options | None:
    options = _reorg(grower)
    return options if grower.shape[0] % 16 == 0 else None


def _softmax(grower: Grower) -> Options | None:
    c, h, w = grower.shape
    groups = grower.one_of(*(count for count in (1, 2, 3) if (c * h * w) % count == 0))
    return {"groups": groups, "temperature": grower.one_of(1, 0.5, 2)}


def _crop(grower: Grower) -> Options | None:
    _, h, w = grower.shape
    options: Options = {"crop_width": int(grower.random.integers(1, w + 1)), "crop_height": h - h // 3}
    return options | ({"noadjust": 1} if grower.chance(0.5) else {})


def _activation(grower: Grower) -> Options | None:
    return {"activation": grower.activation(1)}


def _local(grower: Grower) -> Options | None:
    c, h, w = grower.shape
    size = 3 if min(h, w) >= 3 else 1
    options: Options = {"size": size, "stride": grower.one_of(1, 2), "activation": grower.activation()}
    if h * w * c > MOST_VALUES // 4:
        return None
    return options | {"filters": grower.one_of(1, 3, 8, 17)} | ({"pad": 1} if grower.chance(0.5) else {})


def _deconvolution(grower: Grower) -> Options | None:
    c, h, w = grower.shape
    if c * h * w > MOST_VALUES // 4:
        return None
    options: Options = {
        "filters": grower.one_of(1, 4, 7, 16),
        "size": grower.one_of(2, 3, 4),
        "stride": grower.one_of(1, 2),
    }
    return options | ({"batch_normalize": 1} if grower.chance(0.5) else {}) | {"activation": grower.activation()}


def _response(grower: Grower) -> Options | None:
    return {"size": grower.one_of(3, 5), "alpha": 0.001}


def _plain(grower: Grower) -> Options | None:
    return {}


#: A layer's kind, how often it is drawn, and its options, None where it does not fit here.
_KINDS: tuple[tuple[str, float, Callable[[Grower], Options | None]], ...] = (
    ("convolutional", 10, _convolution),
    ("convolutional", 0.6, _shared),
    ("connected", 0.3, _connected),
    ("maxpool", 2, _pool),
    ("maxpool", 0.2, _blurred_pool),
    ("maxpool", 0.3, _depth_pool),
    ("local_avgpool", 0.5, _pool),
    ("avgpool", 0.4, _plain),
    ("route", 3, _route),
    ("shortcut", 3, _shortcut),
    ("shortcut", 0.4, _strided_shortcut),
    ("scale_channels", 2, _scale_channels),
    ("sam", 1, _sam),
    ("upsample", 1, _upsample),
    ("reorg", 0.5, _reorg),
    ("reorg3d", 0.3, _reorg3d),
    ("dropout", 0.3, _plain),
    ("softmax", 0.2, _softmax),
    ("crop", 0.3, _crop),
    ("activation", 0.3, _activation),
    ("batchnorm", 0.4, _plain),
    ("normalization", 0.2, _response),
    ("l2norm", 0.2, _plain),
    ("empty", 0.2, _plain),
    ("local", 0.3, _local),
    ("deconvolutional", 0.3, _deconvolution),
    ("rnn", 0.1, remembering.rnn),
    ("gru", 0.1, remembering.gated),
    ("lstm", 0.1, remembering.gated),
    ("crnn", 0.3, remembering.crnn),
    ("conv_lstm", 0.3, remembering.conv_lstm),
    ("history", 0.2, remembering.history),
)
_WEIGHTS = np.array([weight for _, weight, _ in _KINDS])


def grow(seed: int, make: type[TinyNetwork] = TinyNetwork) -> TinyNetwork:
    """The network of this seed: one to nine layers and more, and one to three heads in most of them."""
    random = np.random.default_rng([seed, 1])
    shape = tuple(int(random.choice(sides)) for sides in (CHANNELS[:14], range(1, 21), range(1, 21)))
    grower = Grower(make(shape, seed), random)  # type: ignore[arg-type]
    if grower.chance(0.04):
        grower.tiny.add("convolutional", _xnor(grower))
    wanted = int(random.integers(1, 10))
    while len(grower.tiny.outputs) < wanted and grower.is_finite():
        _add_one(grower)
        if grower.chance(0.06) and grower.is_finite():
            _add_head(grower)
    if grower.chance(0.5) and grower.is_finite():
        _add_head(grower)
    return grower.tiny


def _add_one(grower: Grower) -> None:
    kind, _, options_of = _KINDS[int(grower.random.choice(len(_KINDS), p=_WEIGHTS / _WEIGHTS.sum()))]
    after_head = bool(grower.tiny.sections) and grower.tiny.sections[-1][0] in _HEADS
    if (not grower.tiny.outputs or after_head) and kind not in ("convolutional", "maxpool", "route"):
        return
    if kind == "route" and not grower.tiny.outputs:
        return
    options = options_of(grower)
    if options is not None:
        grower.tiny.add(kind, options)


def _add_head(grower: Grower) -> None:
    """A 1x1 convolution with as many filters as its head wants."""
    kind = str(grower.one_of("yolo", *_HEADS))
    if kind == "detection":
        _add_detection(grower)
        return
    classes, num = int(str(grower.one_of(1, 2, 3, 20))), int(str(grower.one_of(1, 2, 3)))
    entries = (9 if kind == "Gaussian_yolo" else 5) + classes
    _, h, w = grower.shape
    if num * entries * h * w > 2 * MOST_VALUES:
        return
    grower.tiny.add("convolutional", {"filters": num * entries, "size": 1, "activation": "linear"})
    anchors = ",".join(str(int(size)) for size in grower.random.integers(1, 60, 2 * num))
    options: Options = {"classes": classes, "num": num, "anchors": anchors}
    if kind == "region":
        options["softmax"] = 1 if grower.chance(0.7) else 0
    elif grower.chance(0.3):
        options["scale_x_y"] = 1.05
    if kind == "yolo" and grower.chance(0.15):
        options["new_coords"] = 1
    grower.tiny.add(kind, options)


def _add_detection(grower: Grower) -> None:
    """The head of yolov1 behind a fully connected layer."""
    classes, num, side = (int(str(grower.one_of(*counts))) for counts in ((1, 3, 20), (1, 2), (1, 3, 4)))
    if grower.tiny.x.size > 2000:
        return
    grower.tiny.add("connected", {"output": side * side * (classes + 5 * num), "activation": "linear"})
    softmax = 1 if grower.chance(0.5) else 0
    options: Options = {"classes": classes, "coords": 4, "num": num, "side": side, "softmax": softmax}
    grower.tiny.add("detection", options)
