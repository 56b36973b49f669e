"""Steps with their memory placed → the records that kernels read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darknet_py.kernels.call import kernel_address
from darknet_py.kernels.ops import number_of
from darknet_py.kernels.ops.run_chain import run_chain
from darknet_py.kernels.ops.step import STEP, TOGETHER
from darknet_py.plan.buffers import View
from darknet_py.plan.chains import Chain
from darknet_py.plan.lowering import Lowering, Step

__all__ = ["bytes_beyond", "encode_step", "group_step", "joined", "scratch_of"]


def group_step(lower: Lowering, group: Step | Chain) -> Step:
    """The step that stands for a group: itself, or a chain's, which holds the records of its links."""
    if isinstance(group, Step):
        return group
    # Places between two links are in scratch: the chain says where. Only the chain as a whole is cut into parts.
    inner = {"x": group.links[1:], "y": group.links[:-1]}
    links = joined([encode_step(link, 0, 1, 1, inner) for link in group.links])
    for record, link in zip(links, group.links, strict=True):
        record["tile_step"], record["block_step"] = 1 << 40, link.own["n_blocks"][0] if link.own.dtype.names else 0
        record["tasks"] = record["parts"] = 1
    own = {
        "length": len(links), "band": group.band, "most_tasks": group.tasks, "own_bytes": group.own_bytes,
        "own_at": -(-max(map(scratch_of, group.links)) // 64) * 64, "steps": links, "links": group.table,
    }  # fmt: skip
    first, last = group.links[0], group.links[-1]
    layer = lower.graph.layers[last.layer]
    return lower.step(run_chain, layer, first.x, last.y, last.second, None, own)


def joined(records: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Records (n,) of steps, one behind the other; ``np.concatenate`` compares all their fields, for 0.2 ms each."""
    table = np.empty(sum(map(len, records)), STEP)
    at = 0
    for some in records:
        table[at : at + len(some)] = some
        at += len(some)
    return table


def encode_step(
    step: Step, image: int, images: int, threads: int, unplaced: Mapping[str, Any] | None = None
) -> NDArray[Any]:
    """The record (1,) of a step for `images` images from `image` on; `unplaced` are the steps whose x or y has none."""
    record = _measure(step)
    record["function"] = kernel_address(step.operation.kernel)
    record["images"] = images
    record["arguments"] = step.own.ctypes.data
    for name, view in _places(step).items():
        if not any(step is other for other in (unplaced or {}).get(name, ())):
            record[name]["at"], record[name]["image"] = view.begin(image), view.buffer.stride
    tasks, order, *rest = step.operation.cut(record[0], step.own[0], threads, images)
    record["tasks"], record["order"] = tasks * (1 if order == TOGETHER else images), order
    record["parts"], record["tile_step"], record["block_step"] = rest
    return record


def _places(step: Step) -> dict[str, View]:
    views = {"x": step.x, "second": step.second, "y": step.y, "also": step.also}
    return {name: view for name, view in views.items() if view is not None}


def _measure(step: Step) -> NDArray[Any]:
    """The record of a step, but for what depends on where it is and how it is cut."""
    record = np.zeros(1, STEP)
    record["operation"], record["layer"] = number_of(step.operation), step.layer
    for name, view in _places(step).items():
        place, (c, h, w) = record[name], view.shape
        place["value"], place["pixel"], place["row"] = view.format.value_bytes, view.pixel, view.row
        place["h"], place["w"], place["c"], place["format"] = h, w, c, view.format.code
    return record


def scratch_of(step: Step) -> int:
    """Bytes of scratch that a task of a step needs."""
    return step.operation.scratch(_measure(step)[0], step.own[0])


def bytes_beyond(step: Step) -> int:
    """How far a step may read beyond the end of its inputs.

    What is read there changes no result. It may lie in the next buffer of the arena, whose end has room for it.
    """
    return step.operation.beyond(_measure(step)[0], step.own[0])
