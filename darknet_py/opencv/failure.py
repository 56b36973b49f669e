"""Errors of this package that are ``cv2.error`` as well, for scripts that catch those."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from darknet_py.errors import DarknetError
from darknet_py.find_cv2 import find_cv2

__all__ = ["as_cv2_errors"]

Function = TypeVar("Function", bound=Callable[..., Any])


def as_cv2_errors(function: Function) -> Function:
    """Let what `function` raises of this package's errors be caught as ``cv2.error`` too."""

    @wraps(function)
    def guarded(*arguments: Any, **named: Any) -> Any:
        try:
            return function(*arguments, **named)
        except DarknetError as error:
            both = _joined(type(error))
            if both is type(error):
                raise
            raise both(*error.args) from error.__cause__

    return guarded  # type: ignore[return-value]


_joined_classes: dict[type[DarknetError], type[DarknetError]] = {}


def _joined(kind: type[DarknetError]) -> type[DarknetError]:
    """A class that is both, or `kind` where there is no OpenCV, or where it is both already."""
    cv2: Any = find_cv2()
    if cv2 is None or issubclass(kind, cv2.error):
        return kind
    if kind not in _joined_classes:
        namespace = {"__module__": kind.__module__, "__doc__": kind.__doc__}
        _joined_classes[kind] = type(kind.__name__, (kind, cv2.error), namespace)
    return _joined_classes[kind]
