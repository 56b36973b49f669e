"""``darknet-py download``: public models by name into the user's folder of models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from darknet_py.cli.model import Progress, interrupted
from darknet_py.cli.options import TEXT, FilePath, make_writable, refuse_nan
from darknet_py.cli.report import one_line, say
from darknet_py.errors import DownloadError
from darknet_py.models.model_files import ModelFiles, fetch_model, model_state, models_folder
from darknet_py.models.patience import Patience
from darknet_py.models.registry import MODELS, KnownModel, known_model
from darknet_py.shipped import BUILT_IN, resolve_model

__all__ = ["download"]


@click.command()
@click.option(
    "--list", "listing", is_flag=True, help="Show the models: size, accuracy, purpose, whether they are here."
)
@click.option("--dir", "folder", metavar="DIR", type=FilePath(file_okay=False, path_type=Path),
              help="Download to DIR, not to the folder that --model looks in.")  # fmt: skip
@click.option("--url", "urls", metavar="URL", multiple=True, type=TEXT,
              help="A mirror of your own instead of the known addresses: of the weights, or of a folder that has them "
              "(with a / at its end). May be given several times.")  # fmt: skip
@click.option("--force", is_flag=True, help="Download even what is here; it is replaced once the new file is verified.")
@click.option("--timeout", metavar="SECONDS", default=30.0, show_default=True, type=click.FloatRange(0.1, 3600),
              callback=refuse_nan, help="How long to wait for a silent server.")  # fmt: skip
@click.argument("names", metavar="NAME...", nargs=-1)
@click.pass_context
def download(
    ctx: click.Context,
    names: tuple[str, ...],
    listing: bool,
    folder: Path | None,
    urls: tuple[str, ...],
    force: bool,
    timeout: float,
) -> None:
    """Download public models, for use by name.

    NAME is one that --list shows, such as yolov4-tiny. The files come from where their authors publish them, mirrors
    in order, and are verified by size and by SHA-256 where that is known; what was downloaded in part is continued.
    They are none of this project's: whether their terms allow what you do with them is for you to see to.

    They are kept in DARKNET_PY_MODELS_DIR, or else in your user's cache directory (--list names it). Proxies are taken
    from http_proxy, https_proxy and no_proxy. With DARKNET_PY_OFFLINE=1 nothing is downloaded.

    Exit code 0: all are here; 1: some could not be downloaded; 2: wrong options, or no such model.

    \b
    Examples:
      darknet-py download yolov4-tiny
      darknet-py detect --model yolov4-tiny dog.jpg
      darknet-py download --list
      darknet-py download yolov4 --url https://mirror.example/darknet/
    """
    models = [known_model(name) for name in dict.fromkeys(names) if name.lower() != BUILT_IN]
    if listing:
        click.echo(_table(models or list(MODELS.values()), folder or models_folder(), with_built_in=not names))
        return
    if not names:
        raise click.UsageError("Missing argument 'NAME...': give the name of a model; --list shows all", ctx)
    if len(models) > 1 and any(not url.endswith("/") for url in urls):
        raise click.BadParameter("several models: expected a folder, with a / at its end", ctx, param_hint="--url")
    if folder is not None:
        make_writable(folder, "--dir")
    if len(models) < len(dict.fromkeys(names)):
        click.echo(f"{BUILT_IN}: ships with darknet-py, nothing to download")
    failures = sum(not _download_one(model, folder, urls, force, timeout) for model in models)
    if failures:
        ctx.exit(1)


def _download_one(model: KnownModel, folder: Path | None, urls: Sequence[str], force: bool, timeout: float) -> bool:
    with Progress() as progress:
        try:
            files = fetch_model(
                model.name,
                folder=folder,
                urls=urls,
                force=force,
                patience=Patience(timeout=timeout),
                listener=progress,
            )
        except DownloadError as error:
            progress.close()
            say(f"Error: {one_line(str(error))}")
            return False
        except KeyboardInterrupt as error:
            interrupted(error, progress)
    click.echo(_outcome(model, files, progress.digests.get(model.weights.name), by_name=folder is None))
    return True


def _outcome(model: KnownModel, files: ModelFiles, digest: str | None, *, by_name: bool) -> str:
    """Where the model is, how far it is verified, and how to use it."""
    where = click.format_filename(files.weights)
    if digest is None:
        verified = "was here already"
    elif not model.weights.digests:
        verified = f"SHA-256 {digest}, of which none is known to compare with: only the size is verified"
    elif digest in model.weights.digests:
        verified = f"verified, SHA-256 {digest}"
    else:
        verified = "its SHA-256 is not a known one"
    given = f"--model {model.name}" if by_name else _given(model, files)
    return f"{model.name}: {where} ({verified})\n  darknet-py detect {given} your-picture.jpg"


def _given(model: KnownModel, files: ModelFiles) -> str:
    cfg = model.name if model.cfg is None else click.format_filename(files.cfg)
    return f"--cfg {cfg} --weights {click.format_filename(files.weights)}"


def _table(models: Sequence[KnownModel], folder: Path, *, with_built_in: bool) -> str:
    rows: list[tuple[str, ...]] = [("model", "MB", "AP50", "AP", "input", "here", "for")]
    if with_built_in:
        size = resolve_model()[1].stat().st_size
        rows.append((BUILT_IN, _megabytes(size), "", "", "", "ships", "codes, barcodes, ArUco markers"))
    rows += [_row(model, folder) for model in models]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        name, *numbers, here, purpose = row
        right = [cell.rjust(width) for cell, width in zip(numbers, widths[1:5], strict=True)]
        lines.append("  ".join([name.ljust(widths[0]), *right, here.ljust(widths[5]), purpose]))
    lines += [
        "",
        "Everyday objects are COCO's 80 classes: person, car, dog, cup, ...",
        f"AP50 and AP: percent on COCO at that input, as published ({_sources(models)}).",
        f"Models are kept in {click.format_filename(folder)}",
    ]
    return "\n".join(lines)


def _sources(models: Sequence[KnownModel]) -> str:
    return ", ".join(dict.fromkeys(model.accuracy.source for model in models if model.accuracy is not None))


def _row(model: KnownModel, folder: Path) -> tuple[str, ...]:
    state, accuracy = model_state(model, folder), model.accuracy
    here = "yes" if state.here else f"{state.part:.0%}" if state.part else "no"
    if not model.weights.addresses and not state.here:
        here = "by hand"
    figures = ("", "", "")
    if accuracy is not None:
        figures = (f"{accuracy.ap50:.1f}", "" if accuracy.ap is None else f"{accuracy.ap:.1f}", accuracy.size)
    return model.name, _megabytes(state.bytes), *figures, here, model.purpose


def _megabytes(count: int | None) -> str:
    return "" if count is None else f"{count / 1e6:.1f}"
