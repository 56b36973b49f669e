"""Options of layers that remember, for `random_networks`, whose dice say which."""

from __future__ import annotations

from typing import Any

__all__ = ["conv_lstm", "crnn", "gated", "history", "rnn"]

Options = dict[str, object]

#: More makes naive layers slow.
_MOST_INPUTS, _MOST_OUTPUTS = 1000, 6000


def gated(grower: Any) -> Options | None:
    """A [gru] or [lstm] layer."""
    if grower.tiny.x.size > _MOST_INPUTS:
        return None
    return {"output": grower.filters(), "batch_normalize": int(grower.chance(0.3))}


def rnn(grower: Any) -> Options | None:
    options = gated(grower)
    own: Options = {"hidden": grower.filters(), "logistic": grower.one_of(0, 1, 2), "activation": grower.activation()}
    return options and options | own | {"shortcut": int(grower.chance(0.3))}


def conv_lstm(grower: Any) -> Options:
    size = grower.one_of(*(size for size in (1, 3, 5) if size // 2 <= min(grower.shape[1:])))
    options: Options = {"output": grower.filters(), "size": size, "pad": 1, "activation": grower.activation()}
    return options | {name: int(grower.chance(0.5)) for name in ("batch_normalize", "peephole")}


def crnn(grower: Any) -> Options:
    own: Options = {"hidden": grower.one_of(1, 3, 8, 17), "shortcut": int(grower.chance(0.3))}
    return {name: value for name, value in conv_lstm(grower).items() if name != "peephole"} | own


def history(grower: Any) -> Options | None:
    c, h, w = grower.shape
    return {"history_size": grower.one_of(1, 2, 3)} if 3 * c * h * w <= _MOST_OUTPUTS else None
