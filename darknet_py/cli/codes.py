"""``darknet-py codes``: the codes in pictures, videos and streams, found and read."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from darknet_py.cli.choices import Choices
from darknet_py.cli.inputs import Inputs, input_options
from darknet_py.cli.loading import DetectorFiles, detector_files
from darknet_py.cli.options import FRACTION, THREADS, FilePath, looks_option, size_option
from darknet_py.cli.outputs import Targets
from darknet_py.cli.running import Run
from darknet_py.cli.tiled import Tiled, tile_options
from darknet_py.codes import need_reader, read_found

__all__ = ["codes"]


@click.command()
@detector_files
@click.option("--thresh", default=0.25, **FRACTION, help="Lowest confidence of a box that is looked into.")
@click.option("--unread", is_flag=True, help="Also tell the boxes in which nothing could be read.")
@tile_options
@looks_option
@size_option
@click.option("--threads", type=THREADS, help="Threads per picture.  [default: all physical cores]")
@input_options
@click.option("--jsonl", metavar="FILE|-", type=FilePath(dir_okay=False, allow_dash=True),
              help="Write JSON lines as they come, to stdout (-) instead of the lines: a record per picture, its codes "
              "under \"codes\".")  # fmt: skip
@click.option("--resume", is_flag=True, help="Go on where the FILE of --jsonl ends: what it has is not done again.")
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.pass_context
def codes(
    ctx: click.Context,
    /,
    files: DetectorFiles,
    thresh: float,
    unread: bool,
    tiled: Tiled,
    given: Inputs,
    jsonl: str | None,
    resume: bool,
    inputs: tuple[str, ...],
    **options: Any,
) -> None:
    """Find the codes in pictures, videos and streams, and read them.

    The picture is read as it is, then each box of the detector, turned and enlarged, by zxing-cpp: QR, Data Matrix,
    Aztec and PDF417 codes, EAN, UPC, Code 128, Code 39, ITF and other barcodes; ArUco markers by OpenCV. A line a code:
    picture, kind, left, top, right and bottom in pixels, text in quotes. Only what is certain is told: codes without
    error correction have to be read alike twice, and every bit of a marker has to be right. The kind is what the reader
    says, whatever the network took it for.

    INPUT is what "darknet-py detect" takes. Needs the extra: pip install "darknet-numba[codes]". More: docs/codes.md.

    Exit code 0: all well, also if no code could be read; 1: some inputs, or the model, could not be read, or the disk
    is full; 2: wrong options; 130 or 143: ended by Ctrl-C or SIGTERM.

    \b
    Examples:
      darknet-py codes parcel.jpg
      darknet-py codes --unread --tiles auto "shelves/*.jpg"
      darknet-py codes --jsonl - photos/ | jq -r ".codes[].text"
      darknet-py codes --jsonl read.jsonl --resume --every 5 conveyor.mp4
    """
    files.check(ctx)
    targets = Targets(None, jsonl, None, None, None, None, False, False, False, None, resume)
    targets.check(ctx)
    tiled.check(ctx)
    need_reader()
    choices = Choices(thresh, 0.45, (), (), agnostic_nms=False, single_class=False, max_det=None)
    reader = partial(read_found, unread=unread)
    Run(files, choices, tiled, given, targets, None, options, reader, {"unread": unread}).over(ctx, inputs, None)
