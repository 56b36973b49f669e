"""How large a network or a picture may be: bounds that are checked before memory is taken for it.

The defaults lie far above what Darknet's users run, and far below what a file from a stranger may ask for. Each can be
set for a process by an environment variable, ``DARKNET_PY_`` and its name in capitals, and some for a call in Python.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, fields

from darknet_py.errors import OptionError

__all__ = ["Limits", "cure_of", "variable_of", "within"]

_PREFIX = "DARKNET_PY_"


@dataclass(frozen=True)
class Limits:
    """Bounds on what a cfg and a picture may ask for.

    Attributes
    ----------
    max_layers : int
        Sections after ``[net]``. The largest networks in use have 350.
    max_parameters : int
        Values in the weights file. The largest networks in use have 300 million.
    max_activation_bytes : int
        Memory of all layers' outputs that are alive at the same time, for one picture. yolov4 at 608x608 takes 0.1 GB.
    max_pixels : int
        Of a picture or a frame of a video, width times height.
    max_bytes : int
        Of the file of a picture that comes from an address or over standard input.
    max_tiled_pixels : int
        Of a picture that is searched in tiles and read strip by strip, width times height.
    inspect_seconds : int
        How long ``darknet-py inspect`` may take.
    """

    max_layers: int = 2000
    max_parameters: int = 1 << 30
    max_activation_bytes: int = 8 << 30
    max_pixels: int = 1 << 30
    max_bytes: int = 1 << 30
    max_tiled_pixels: int = 1 << 34
    inspect_seconds: int = 30

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise OptionError(f"{field.name}={value!r}: expected a whole number from 1 on")

    @classmethod
    def current(cls) -> Limits:
        """Those of the innermost `within` of this thread, else those of the environment."""
        held = _set.get()
        return cls.from_environment() if held is None else held[0]

    @classmethod
    def from_environment(cls) -> Limits:
        """The defaults, but for what environment variables such as ``DARKNET_PY_MAX_LAYERS`` say.

        Raises
        ------
        OptionError
            A variable is not a whole number from 1 on.
        """
        found: dict[str, int] = {}
        for field in fields(cls):
            variable = variable_of(field.name)
            text = os.environ.get(variable, "").strip()
            if not text:
                continue
            if not re.fullmatch(r"[1-9]\d{0,17}", text, re.ASCII):
                raise OptionError(f"{variable}={text[:40]!r}: expected a whole number from 1 on")
            found[field.name] = int(text)
        return cls(**found)


#: The innermost `within`, and how its caller lets more pass.
_set: ContextVar[tuple[Limits, str] | None] = ContextVar("darknet_py_limits", default=None)


@contextmanager
def within(limits: Limits, cure: str) -> Iterator[None]:
    """Within the block, what this thread reads is held to `limits`; messages name `cure`, not the environment's."""
    token = _set.set((limits, cure))
    try:
        yield
    finally:
        _set.reset(token)


def cure_of(name: str) -> str:
    """What allows more of a limit, in the words of a message."""
    held = _set.get()
    return f"the environment variable {variable_of(name)}" if held is None else held[1]


def variable_of(name: str) -> str:
    """The environment variable that sets a limit."""
    return _PREFIX + name.upper()
