"""What an operation is: a kernel, the record of its arguments, how it is cut into tasks, and the scratch it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from darknet_py.errors import DarknetError
from darknet_py.kernels.jit import kernel
from darknet_py.kernels.ops.step import BY_IMAGE

__all__ = ["Cut", "Operation", "OperationFault", "arguments", "nothing", "operation"]

Fields = np.dtype[Any]
#: A record of the step, one of its own arguments.
_Measure = Callable[[Any, Any], int]


class OperationFault(DarknetError, TypeError):
    """An operation that lacks something, or a step that does not say what its operation has to know.

    Never the fault of a file or a caller.
    """


class Cut(NamedTuple):
    """How a step is cut into tasks, see `STEP`: those of one image, unless `order` is TOGETHER."""

    tasks: int
    order: int = BY_IMAGE
    parts: int = 1
    tile_step: int = 0
    block_step: int = 0


@dataclass(frozen=True, eq=False)
class Operation:
    """One kind of step.

    Attributes
    ----------
    name : str
        The kernel's.
    kernel : compiled function of (address of the step, number of the task, address of scratch)
    arguments : dtype
        Of its own record, as `arguments` makes it.
    cut : callable of (step, its arguments, threads, images)
        Gives its Cut.
    scratch : callable of (step, its arguments)
        Bytes of scratch that every task needs.
    beyond : callable of (step, its arguments)
        Bytes that it may read beyond the end of the values it is about.
    """

    name: str
    kernel: Any
    arguments: Fields
    cut: Callable[[Any, Any, int, int], Cut]
    scratch: _Measure
    beyond: _Measure

    @property
    def py_func(self) -> Any:
        """The kernel's function, by which the cache tells one version from another."""
        return self.kernel.py_func

    def __repr__(self) -> str:
        return self.name

    def encode(self, layer: str, values: Mapping[str, Any]) -> NDArray[Any]:
        """The record (1,) of its arguments, arrays by address; `layer` is whose step it is, for an error.

        Raises
        ------
        OperationFault
            If a field is missing, unknown, or not what it should be.
        """
        kinds: Mapping[str, Any] = self.arguments.fields or {}
        fields = kinds.keys()
        missing, unknown = (", ".join(sorted(names)) for names in (fields - values.keys(), values.keys() - fields))
        if missing or unknown:
            found = [f"no {missing}"] * bool(missing) + [f"an unknown {unknown}"] * bool(unknown)
            raise OperationFault(
                f"{layer}: {self.name} was given {', but '.join(found)}; "
                f"its arguments are {', '.join(self.arguments.names or ()) or 'none'}"
            )
        record = np.zeros(1, self.arguments)
        for name, value in values.items():
            try:
                record[name] = _encode(value, kinds[name][0])
            except (TypeError, ValueError, OverflowError) as error:
                raise OperationFault(f"{layer}: {self.name} was given {name}={value!r:.40}: {error}") from None
        return record


def _encode(value: Any, field: np.dtype[Any]) -> Any:
    metadata: Mapping[str, Any] = field.metadata or {}
    target = metadata.get("to")
    if target is None:
        number = np.asarray(value)
        if number.ndim or number.dtype.kind not in "biuf" or (number.dtype.kind == "f" and field.kind != "f"):
            raise TypeError(f"expected a number ({field})")
        return number
    if not isinstance(value, np.ndarray) or value.dtype != target:
        found = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
        raise TypeError(f"expected an array of {target}, found {found}")
    return value.ctypes.data


def arguments(*integers: str, floats: Iterable[str] = (), **arrays: Any) -> Fields:
    """The dtype of a record of arguments: whole numbers, float64, and addresses of arrays of the dtypes given."""
    pointers = [(name, np.dtype("i8", metadata={"to": np.dtype(to)})) for name, to in arrays.items()]
    return np.dtype([*((name, "i8") for name in integers), *((name, "f8") for name in floats), *pointers], align=True)


def nothing(step: Any, own: Any) -> int:
    """No bytes."""
    return 0


def operation(
    *,
    arguments: Fields | None = None,
    cut: Callable[[Any, Any, int, int], Cut] | None = None,
    scratch: _Measure | None = None,
    beyond: _Measure = nothing,
) -> Callable[[Callable[..., Any]], Operation]:
    """Make an operation of its kernel's function; see `Operation` for what else there is to say of it.

    Raises
    ------
    OperationFault
        If one of the three that every operation has is left out, or is no function (no dtype, for `arguments`).
    """

    def made(function: Callable[..., Any]) -> Operation:
        name = function.__name__
        for what, given in (("arguments", arguments), ("cut", cut), ("scratch", scratch)):
            if given is None or not (callable(given) or isinstance(given, np.dtype)):
                found = f"has no {what}" if given is None else f"has {what}={given!r:.40}, expected a function"
                raise OperationFault(f"operation {name} {found}: @operation(arguments=..., cut=..., scratch=...)")
        assert arguments is not None and cut is not None and scratch is not None
        return Operation(name, kernel(function), arguments, cut, scratch, beyond)

    return made
