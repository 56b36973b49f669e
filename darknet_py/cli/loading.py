"""Which detector a command is to use, as options, and how it is made ready."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import click

from darknet_py.cli.model import choose_model, model_option
from darknet_py.cli.options import TEXT
from darknet_py.cli.warmup import announce_compiling
from darknet_py.detector import Detector
from darknet_py.errors import UnsupportedError
from darknet_py.pictures.blob import LIKES
from darknet_py.shipped import BUILT_IN

__all__ = ["DetectorFiles", "detector_files", "like_option", "open_detector"]

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class DetectorFiles:
    """What was given: a model by its name, or files; nothing means the built-in model."""

    model: str | None
    offline: bool
    cfg: str | None
    weights: str | None
    names: str | None

    @property
    def built_in(self) -> bool:
        """Whether the built-in model is meant."""
        return self.cfg is None and self.model is None

    def check(self, ctx: click.Context) -> None:
        """Refuse weights that come alone, before anything is done."""
        if self.weights is not None and self.built_in:
            raise click.UsageError(
                "--weights without --cfg: give the .cfg file they were trained with, or neither", ctx
            )

    def find(self, ctx: click.Context) -> tuple[Any, Any, Any]:
        """Cfg, weights and names as `Detector` takes them; downloads a model by name if need be."""
        if self.built_in:
            return None, None, self.names
        chosen = choose_model(ctx, self.cfg, self.weights, self.model, self.offline)
        return chosen.cfg, chosen.weights, self.names or chosen.names


like_option = click.option(
    "--like",
    default="darknet",
    show_default=True,
    type=click.Choice(LIKES),
    help="Whose resizing and NMS to follow: Darknet's program, its Python scripts, cv2.dnn.",
)


def detector_files(command: _Command) -> _Command:
    """Add the options; the command gets them as `files`."""

    @functools.wraps(command)
    def gathered(*args: Any, **given: Any) -> Any:
        files = DetectorFiles(**{name: given.pop(name) for name in DetectorFiles.__dataclass_fields__})
        return command(*args, files=files, **given)

    for option in reversed(_OPTIONS):
        gathered = option(gathered)
    return gathered  # type: ignore[return-value]


_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    model_option,
    click.option("--cfg", metavar="FILE", type=TEXT, help="The .cfg file, or the name of a shipped model (yolov4).  "
                 f"[default: the built-in model, {BUILT_IN}]"),
    click.option("--weights", metavar="FILE", type=TEXT, help="The .weights file that belongs to it."),
    click.option("--names", metavar="FILE", type=TEXT, help="Class names, one per line.  [default: found beside the "
                 "cfg]"),
)  # fmt: skip


def open_detector(source: tuple[Any, Any, Any], **options: Any) -> Detector:
    """The detector of these files, which pictures can be shown to; its kernels are yet to be loaded.

    Raises
    ------
    UnsupportedError
        It wants as many channels as no picture has.
    """
    announce_compiling()
    detector = Detector(*source, **options)
    graph = detector.graph
    if graph.no_pictures:
        raise UnsupportedError(f"{graph.file}: {graph.no_pictures}: prepare blobs for Detector.detect_blob in Python")
    return detector
