"""Large pictures in tiles, as options of the command line."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from darknet_py.cli.options import SIZE, ParamType, refuse_nan
from darknet_py.detector import Detector
from darknet_py.sources.looking import Search

__all__ = ["Tiled", "tile_options"]

_Command = TypeVar("_Command", bound=Callable[..., Any])

#: What neighbours share unless something else is said.
_OVERLAP = 0.2


class _Tiles(ParamType):
    """``auto``, or a size."""

    name = "WxH|auto"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "auto":
            return value
        size = SIZE.convert(value, param, ctx)
        if min(size) < 1:
            self.fail(f"{value}: expected at least 1x1, or auto", param, ctx)
        return size


@dataclass(frozen=True)
class Tiled:
    """What was asked for, in the words of the command line."""

    tiles: str | tuple[int, int] | None
    overlap: float | None

    def check(self, ctx: click.Context) -> None:
        """Refuse an overlap of nothing."""
        if self.tiles is None and self.overlap is not None:
            raise click.UsageError("--overlap is of the tiles of --tiles, which is not given", ctx)

    @property
    def share(self) -> float:
        """The overlap."""
        return _OVERLAP if self.overlap is None else self.overlap

    def settings(self, detector: Detector) -> dict[str, Any]:
        """What records say of it; nothing without tiles."""
        if self.tiles is None:
            return {}
        blob = detector.graph.blob
        size = (blob.w, blob.h) if isinstance(self.tiles, str) else self.tiles
        return {"tiles": list(size), "overlap": self.share}

    def search(self, detector: Detector, wanted: Mapping[str, Any]) -> Search | None:
        """What looks at a picture, given as pixels or by its file; None without tiles."""
        if self.tiles is None:
            return None
        return functools.partial(detector.detect_tiled, bgr=False, tiles=self.tiles, overlap=self.share, **wanted)


def tile_options(command: _Command) -> _Command:
    """Add the options; the command gets them as `tiled`."""

    @functools.wraps(command)
    def gathered(*args: Any, **given: Any) -> Any:
        tiled = Tiled(**{name: given.pop(name) for name in Tiled.__dataclass_fields__})
        return command(*args, tiled=tiled, **given)

    for option in reversed(_OPTIONS):
        gathered = option(gathered)
    return gathered  # type: ignore[return-value]


_OPTIONS = (
    click.option("--tiles", metavar="WxH|auto", type=_Tiles(), help="Look at large pictures in tiles of this size, for "
                 "small objects, and as a whole; auto is the size of the network's input."),
    click.option("--overlap", metavar="SHARE", type=click.FloatRange(0, 0.9),
                 callback=refuse_nan, help="What tiles share with their "
                 f"neighbours, of their sides.  [default: {_OVERLAP}]"),
)  # fmt: skip
