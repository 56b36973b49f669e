"""Planning takes a time that grows as the network does: counted in calls, of networks of many layers of a kind."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from networks import arguments_of, eager_chains, steps_of

from darknet_py.cfg import parse_cfg
from darknet_py.graph import build_graph
from darknet_py.plan.packing import pack_weights
from darknet_py.plan.plan import Plan, make_plan
from darknet_py.weights import SeededWeights

HEAD = "[net]\nwidth=8\nheight=8\nchannels=16\n[convolutional]\nfilters=16\n"
NARROW = "[convolutional]\nfilters=16\ngroups=16\nsize=3\npad=1\n"

KINDS = {
    "convolutions": lambda n: "[convolutional]\nfilters=16\n" * n,
    "depthwise": lambda n: NARROW * n,
    "pools": lambda n: "[maxpool]\nsize=3\nstride=1\n" * n,
    "pools of one layer": lambda n: "".join(
        f"[route]\nlayers=0\n[maxpool]\nsize={2 * i + 3}\nstride=1\n" for i in range(n)
    ),
    "names of names": lambda n: "[route]\nlayers=-1\n[dropout]\n" * n + "[shortcut]\nfrom=0\n",
    "sums of one layer": lambda n: "[shortcut]\nfrom=0\n" * n,
    "residual blocks": lambda n: f"{NARROW}[shortcut]\nfrom=-2\n" * n,
    "nested": lambda n: (
        "[convolutional]\nfilters=16\n" * n + "".join(f"[shortcut]\nfrom={-2 * i - 2}\n" for i in range(n))
    ),
    "joined": lambda n: "[convolutional]\nfilters=8\n[route]\nlayers=-1,-2\n[convolutional]\nfilters=16\n" * n,
}


def planned(kind: str, count: int) -> tuple[Plan, int]:
    """The plan of `count` layers (or pairs of them) of a kind, and how many calls it took to make it."""
    graph = build_graph(parse_cfg(HEAD + KINDS[kind](count)))
    weights = pack_weights(graph, SeededWeights(graph))
    make_plan(graph, weights)  # what is cached is so now
    calls = 0

    def count_call(frame: Any, event: str, argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count_call)
    try:
        plan = make_plan(graph, weights)
    finally:
        sys.setprofile(None)
    return plan, calls


@pytest.mark.parametrize("kind", KINDS)
def test_twice_the_layers_take_twice_the_calls(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DARKNET_PY_GUARD", raising=False)  # which looks at every step beside every buffer
    _, few = planned(kind, 60)
    _, many = planned(kind, 240)
    assert many <= 4.4 * few


def test_of_many_narrow_layers_chains_end() -> None:
    with eager_chains():
        plan, calls = planned("depthwise", 200)
        _, few = planned("depthwise", 50)
    lengths = arguments_of(plan, steps_of(plan, "run_chain"), "length")
    assert sum(lengths) >= 150 and max(lengths) <= 32
    assert calls <= 5 * few
