"""Where results go besides the terminal, as options of the command line."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from darknet_py.cli.options import FilePath
from darknet_py.errors import OptionError
from darknet_py.outputs import Outputs, Writer
from darknet_py.outputs.arrays import CocoResults, DarknetJson
from darknet_py.outputs.coco_ids import read_ids
from darknet_py.outputs.crops import Crops
from darknet_py.outputs.csv_files import CountsCsv, DetectionsCsv
from darknet_py.outputs.folders import clear_leftovers
from darknet_py.outputs.json_lines import JsonLines
from darknet_py.outputs.yolo_labels import Labels

__all__ = ["Targets", "output_options"]

_Command = TypeVar("_Command", bound=Callable[..., Any])

#: Where label files and crops go if nothing says, as people know it from other programs.
_RUNS = Path("runs", "detect", "predict")
_MOST_RUNS = 1_000_000


@dataclass(frozen=True)
class Targets:
    """What was asked for, in the words of the command line."""

    json_file: str | None
    jsonl: str | None
    csv: str | None
    coco: str | None
    coco_ids: str | None
    counts: str | None
    save_txt: bool
    save_conf: bool
    save_crop: bool
    save_dir: Path | None
    resume: bool

    @property
    def on_stdout(self) -> bool:
        """Whether a file is standard output, which has no tables then."""
        return "-" in self._files.values()

    @property
    def _files(self) -> dict[str, str]:
        files = {
            "--json": self.json_file,
            "--jsonl": self.jsonl,
            "--csv": self.csv,
            "--coco": self.coco,
            "--counts": self.counts,
        }
        return {option: file for option, file in files.items() if file is not None}

    @property
    def _in_folder(self) -> bool:
        return self.save_txt or self.save_conf or self.save_crop

    def check(self, ctx: click.Context) -> None:
        """See that they go together.

        Raises
        ------
        click.UsageError
        """
        taken: dict[str, str] = {}
        for option, file in self._files.items():
            same = file if file == "-" else str(Path(file).resolve())
            if same in taken:
                name = "standard output" if file == "-" else file
                raise click.UsageError(f"{taken[same]} and {option} both write to {name}: give each its own file", ctx)
            taken[same] = option
        if self.on_stdout and sys.stdout is None:
            raise click.BadParameter("standard output is closed", ctx, param_hint=taken["-"])
        if self.resume and self.jsonl in (None, "-"):
            raise click.UsageError("--resume goes on from a file of JSON lines: give it with --jsonl FILE", ctx)
        if self.resume and self._in_folder and self.save_dir is None:
            raise click.UsageError("--resume with --save-txt or --save-crop: give their folder with --save-dir", ctx)
        if self.save_dir is not None and not self._in_folder:
            raise click.UsageError("--save-dir is for --save-txt and --save-crop, none of which is given", ctx)
        if self.coco_ids is not None and self.coco is None:
            raise click.UsageError("--coco-ids is about the file of --coco, which is not given", ctx)

    def outputs(self, out: Path | None) -> tuple[Outputs, Path | None]:
        """All of them, and the folder of label files and crops if it was chosen here, beside drawn pictures in `out`.

        Raises
        ------
        OptionError
            The folder cannot be made, or a file cannot be read.
        """
        writers: list[Writer] = []
        if self.resume:
            self._clear_leftovers(out)
        folder = self.save_dir or out
        chosen = None if folder is not None or not self._in_folder else _new_run()
        folder = folder or chosen or Path()
        if self.save_crop:
            writers.append(Crops(folder / "crops"))
        if self.save_txt or self.save_conf:
            writers.append(Labels(folder / "labels", confidence=self.save_conf))
        if self.counts is not None:
            writers.append(CountsCsv(self.counts))
        if self.csv is not None:
            writers.append(DetectionsCsv(self.csv))
        if self.coco is not None:
            writers.append(CocoResults(self.coco, None if self.coco_ids is None else read_ids(self.coco_ids)))
        if self.json_file is not None:
            writers.append(DarknetJson(self.json_file))
        return Outputs(writers, None if self.jsonl is None else JsonLines(self.jsonl, resume=self.resume)), chosen

    def _clear_leftovers(self, out: Path | None) -> None:
        """Remove what the run that is resumed was writing when it was killed."""
        for file in (self.json_file, self.coco):
            if file is not None:
                real = Path(os.path.realpath(file))
                clear_leftovers(real.parent, real.name)
        if out is not None:
            clear_leftovers(out)
        if self.save_dir is not None:
            for folder in (self.save_dir / "labels", *(self.save_dir / "crops").glob("*/")):
                clear_leftovers(folder)


def output_options(command: _Command) -> _Command:
    """Add the options; the command gets them as `targets`."""

    @functools.wraps(command)
    def gathered(*args: Any, **given: Any) -> Any:
        targets = Targets(**{name: given.pop(name) for name in Targets.__dataclass_fields__})
        return command(*args, targets=targets, **given)

    for option in reversed(_OPTIONS):
        gathered = option(gathered)
    return gathered  # type: ignore[return-value]


_FILE: dict[str, Any] = {"metavar": "FILE|-", "type": FilePath(dir_okay=False, allow_dash=True)}

_OPTIONS = (
    click.option("--json", "json_file", **_FILE, help="Write Darknet's JSON to FILE, or to stdout (-) instead of the "
                 "tables."),
    click.option("--jsonl", **_FILE, help="Write JSON lines as they come: a record per picture with model, settings, "
                 "times and errors."),
    click.option("--resume", is_flag=True, help="Go on where the FILE of --jsonl ends: what it has is not done again."),
    click.option("--csv", **_FILE, help="Write a row per box."),
    click.option("--counts", **_FILE, help="Write a row per picture with how many there are of each class (CSV)."),
    click.option("--coco", **_FILE, help="Write COCO's results, for pycocotools."),
    click.option("--coco-ids", metavar="FILE", type=FilePath(dir_okay=False), help="COCO's annotations, whose ids of "
                 "pictures and categories --coco is to use."),
    click.option("--save-txt", is_flag=True, help="Write YOLO labels to labels/PICTURE.txt."),
    click.option("--save-conf", is_flag=True, help="The same, with the confidence as sixth number."),
    click.option("--save-crop", is_flag=True, help="Write each box, cut out, to crops/CLASS/PICTURE.jpg."),
    click.option("--save-dir", metavar="DIR", type=FilePath(file_okay=False, path_type=Path),
                 help="Folder of labels/ and crops/.  [default: that of --out, or a new runs/detect/predict]"),
)  # fmt: skip


def _new_run() -> Path:
    """A folder that was not there: ``runs/detect/predict``, ``predict2``, ..."""
    for number in range(1, _MOST_RUNS):
        folder = _RUNS if number == 1 else _RUNS.with_name(f"{_RUNS.name}{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            raise OptionError(
                f"{folder}: cannot be made ({error.strerror or error}): give another folder with --save-dir"
            ) from error
        return folder
    raise OptionError(f"{_RUNS}: {_MOST_RUNS} folders of this name: give another one with --save-dir")
