"""``darknet-py detect``: pictures, videos and streams in; tables, records and what is drawn out."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from darknet_py.cli.choices import Choices, choice_options
from darknet_py.cli.clustered import Cluster, TakingRay, cluster_options
from darknet_py.cli.inputs import Inputs, input_options
from darknet_py.cli.loading import DetectorFiles, detector_files, like_option
from darknet_py.cli.options import THREADS, FilePath, looks_option, precision_option, size_option
from darknet_py.cli.outputs import Targets, output_options
from darknet_py.cli.report import Report
from darknet_py.cli.running import Run
from darknet_py.cli.tiled import Tiled, tile_options
from darknet_py.find_cv2 import need_cv2
from darknet_py.models.registry import MODELS

__all__ = ["detect"]

#: Named to who shows the built-in model a picture without codes.
_ORDINARY = MODELS["yolov4-tiny"]


_HELP = """Find objects in pictures, videos and streams.

Without --model and --cfg, the built-in model finds QR, Data Matrix, PDF417 and Aztec codes, barcodes and ArUco markers.

INPUT is a picture; a video; a directory (its pictures and videos, by name); a pattern such as "photos/*.jpg"; a
list of any of these, one a line, in a .txt file; an http(s) address of a picture, a video or a stream; an rtsp,
rtmp, srt or udp address; the number of a camera (0); or - for standard input, which has paths, one a line, or one
picture's bytes. What each may be: docs/video.md.

With --ray, pictures are shared out to the machines of a Ray cluster, and DIR gets Parquet files: docs/ray.md.

With --tiles, small objects are found in large pictures, which may be larger than memory: docs/tiles.md. With
--looks, objects that fill the picture, or are small in it, for more time: docs/looks.md.

Boxes are left, top, width and height in pixels of the picture; times leave out reading it, loading and compiling.
Of files every frame is looked at, of cameras and streams the newest. An input that cannot be read does not stop
the others; where none can, files stay as they are, but for an error record in that of --jsonl. In Darknet's JSON,
frame_id counts pictures and frames from 1.

Ended early, by Ctrl-C, SIGTERM or a full disk, files hold what was done, videos can be played, and the same
command with --jsonl FILE --resume goes on from there. What each file holds: docs/outputs.md.

Exit code 0: all well; 1: some inputs, or the model, could not be read, or the disk is full; 2: wrong options; 130
or 143: ended by Ctrl-C or SIGTERM.

\b
Examples:
  darknet-py detect parcel.jpg
  darknet-py detect --model yolov4-tiny dog.jpg
  darknet-py detect --cfg yolov4 --weights yolov4.weights dog.jpg
  darknet-py detect --cfg my.cfg --weights my.weights --names my.names --thresh 0.5 photos/
  darknet-py detect --cfg my.cfg --weights my.weights --json found.json --out drawn "photos/*.jpg"
  darknet-py detect --cfg my.cfg --weights my.weights --json - dog.jpg | jq .
  darknet-py detect --model yolov4-tiny --classes person,car --jsonl found.jsonl --resume photos/
  darknet-py detect --model yolov4-tiny --tiles auto --jsonl found.jsonl aerial.tif
  darknet-py detect --model yolov4-tiny --save-txt --save-crop --save-dir labelled photos/
  darknet-py detect --model yolov4-tiny --out drawn --jsonl frames.jsonl street.mp4
  darknet-py detect --model yolov4-tiny --jsonl frames.jsonl --reconnect rtsp://camera/stream
  darknet-py detect --model yolov4-tiny --ray --out found --resume -r photos/
  find photos -name "*.jpg" | darknet-py detect --model yolov4-tiny -
"""


class _Advice:
    """What to do where the built-in model, which nobody asked for by name, finds nothing: said once."""

    def __init__(self) -> None:
        self._given = False

    def on(self, picture: str, report: Report) -> None:
        """A picture in which nothing was found."""
        if not self._given:
            report.note(
                "The built-in model looks for QR, Data Matrix, PDF417 and Aztec codes, barcodes and ArUco markers, "
                "nothing else. For people, cars, animals and other everyday objects: "
                f"darknet-py detect --model {_ORDINARY.name} "
                f"{shlex.quote(picture)} (downloads {(_ORDINARY.weights.bytes or 0) / 1e6:.0f} MB, once)"
            )
        self._given = True


@click.command(cls=TakingRay, help=_HELP)
@detector_files
@choice_options
@tile_options
@click.option("--letterbox/--no-letterbox", default=None, help="Keep the aspect ratio of pictures, or stretch them to "
              "the network's input.  [default: what the cfg says]")  # fmt: skip
@size_option
@click.option("--threads", type=THREADS, help="Threads per picture.  [default: all physical cores]")
@like_option
@click.option("--exact", is_flag=True, help="Direct convolutions only: slower, less memory, nearer to Darknet's bits.")
@precision_option
@looks_option
@click.option("--out", metavar="DIR", type=FilePath(file_okay=False, path_type=Path),
              help="Write pictures and videos with their boxes drawn to DIR; with --ray, Parquet files.")  # fmt: skip
@input_options
@output_options
@cluster_options
@click.argument("inputs", metavar="INPUT...", nargs=-1, required=True)
@click.pass_context
def detect(
    ctx: click.Context,
    /,
    files: DetectorFiles,
    choices: Choices,
    tiled: Tiled,
    out: Path | None,
    given: Inputs,
    targets: Targets,
    cluster: Cluster,
    inputs: tuple[str, ...],
    **options: Any,
) -> None:
    """Look at all that was given, and write what was asked for."""
    files.check(ctx)
    cluster.check(ctx)
    if cluster.ray is not None:
        asked = given.asked(out, files.offline, lambda text: None)
        cluster.run(ctx, inputs, asked, files, choices, targets.resume, tiled, out, **options)
        return
    if options["like"] != "darknet":
        need_cv2(f"--like {options['like']}")  # for every picture alike
    targets.check(ctx)
    tiled.check(ctx)
    run = Run(files, choices, tiled, given, targets, out, options)
    run.over(ctx, inputs, _Advice().on if files.built_in else None)
