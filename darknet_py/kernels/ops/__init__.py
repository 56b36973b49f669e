"""Operations: what a step of a run can be, one file each. Here is the table of them all.

A module says all of its operation: the record of its arguments, how a step is cut into tasks, the scratch that a task
needs, how far it reads beyond its values, and its kernel.
"""

from __future__ import annotations

from darknet_py.kernels.ops.add import add
from darknet_py.kernels.ops.average_image import average_image
from darknet_py.kernels.ops.average_window import average_window
from darknet_py.kernels.ops.clear_border import clear_border
from darknet_py.kernels.ops.constrain import constrain
from darknet_py.kernels.ops.convert import convert
from darknet_py.kernels.ops.convolve import convolve
from darknet_py.kernels.ops.convolve_locally import convolve_locally
from darknet_py.kernels.ops.convolve_matrix import convolve_matrix
from darknet_py.kernels.ops.copy import copy
from darknet_py.kernels.ops.depthwise_rows import depthwise_rows
from darknet_py.kernels.ops.fill import fill
from darknet_py.kernels.ops.gather import gather
from darknet_py.kernels.ops.max_depth import max_depth
from darknet_py.kernels.ops.multiply import multiply
from darknet_py.kernels.ops.normalize_channels import normalize_channels
from darknet_py.kernels.ops.normalize_response import normalize_response
from darknet_py.kernels.ops.operation import Operation
from darknet_py.kernels.ops.region import region
from darknet_py.kernels.ops.resize_rows import resize_rows
from darknet_py.kernels.ops.round_image import round_image
from darknet_py.kernels.ops.run_chain import run_chain
from darknet_py.kernels.ops.scale import scale
from darknet_py.kernels.ops.sign import sign
from darknet_py.kernels.ops.softmax import softmax
from darknet_py.kernels.ops.upsample import upsample
from darknet_py.kernels.ops.winograd_filters import winograd_filters
from darknet_py.kernels.ops.winograd_input import winograd_input
from darknet_py.kernels.ops.yolo import yolo

__all__ = ["OPERATIONS", "number_of", "operation_of"]

#: By name; the place in the table is the number that the record of a step has. Their order means nothing.
OPERATIONS: dict[str, Operation] = {
    one.name: one
    for one in (
        add,
        average_image,
        average_window,
        clear_border,
        constrain,
        convert,
        convolve,
        convolve_locally,
        convolve_matrix,
        copy,
        depthwise_rows,
        fill,
        gather,
        max_depth,
        multiply,
        normalize_channels,
        normalize_response,
        region,
        resize_rows,
        round_image,
        run_chain,
        scale,
        sign,
        softmax,
        upsample,
        winograd_filters,
        winograd_input,
        yolo,
    )
}


def number_of(operation: Operation) -> int:
    """What stands for an operation in the record of a step: its place in the table."""
    return list(OPERATIONS).index(operation.name)


def operation_of(number: int) -> Operation:
    """The operation that the record of a step names."""
    return list(OPERATIONS.values())[number]
