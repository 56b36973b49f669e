"""``darknet-py cache``: where compiled kernels are, whether they are whole, and away with them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click

from darknet_py.cache.kernels import check_kernels
from darknet_py.cache.places import Finding, Layer, Place, find_places, survey
from darknet_py.cache.trust import distrust
from darknet_py.cli.report import one_line
from darknet_py.cli.warmup import warm_all
from darknet_py.kernels.jit import LANES, TARGET, cache_leaf
from darknet_py.tuning import known_timings

__all__ = ["cache"]

#: Folders that this program makes, of any version.
_LEAF = re.compile(r"kernels-[0-9a-f]{16}-\d+(-\w+)?")


@click.command()
@click.option(
    "--check", is_flag=True, help="Read every file; exit code 1 if any is damaged (it would be compiled again)."
)
@click.option(
    "--clear", is_flag=True, help="Remove compiled kernels and timings, those of other versions and CPUs too."
)
@click.option("--warm", is_flag=True, help="Compile for all models that ship, as warmup --all does.")
@click.pass_context
def cache(ctx: click.Context, check: bool, clear: bool, warm: bool) -> None:
    """Show where compiled kernels and timings are kept.

    DARKNET_PY_CACHE_DIR chooses the place; then NUMBA_CACHE_DIR, the user's cache directory and the temporary directory
    are tried. A folder that can be read but not written serves what it has; it must belong to this user, or, where a
    variable names it, to root, and nobody else may be allowed to write to it.

    \b
    Examples:
      darknet-py cache
      darknet-py cache --check
      darknet-py cache --clear --warm
    """
    if clear:
        _clear()
    if warm:
        warm_all("float32")
    if not (clear or warm) or check:
        _show()
    if check:
        ctx.exit(_check())


def _show() -> None:
    leaf = cache_leaf()
    click.echo(f"compiled for  {TARGET.cpu}, {LANES} float32 lanes")
    if leaf is None:
        click.echo("kept          nowhere: what is loaded cannot be told from another version (start the program anew)")
        return
    findings = survey(leaf)
    kept = next((finding for finding in findings if finding.writable), None)
    for finding in findings:
        if finding is kept:
            click.echo(f"kept in       {_line(finding)}")
            break
        click.echo(f"{'read only   ' if finding.readable else 'refused     '}  {_line(finding)}")
    if kept is None:
        click.echo("kept          nowhere: set DARKNET_PY_CACHE_DIR to a folder that this user may write to")
    elif any(finding.readable for finding in findings):
        click.echo(f"timings       of {len(known_timings())} shapes of layers")
    others = [folder for folder in _folders() if folder.name != leaf]
    if others:
        size = sum(map(_bytes, others)) / 1e6
        click.echo(
            f"others        {len(others)} folders of other versions or CPUs, {size:.1f} MB (--clear removes them)"
        )


def _line(finding: Finding) -> str:
    text = str(finding)
    if finding.readable and finding.folder is not None:
        count = sum(1 for _ in finding.folder.glob("*.nbc"))
        text += f": {count} kernels, {_bytes(finding.folder) / 1e6:.1f} MB"
    return one_line(text)


def _check() -> int:
    leaf, bad = cache_leaf(), 0
    for finding in survey(leaf) if leaf else []:
        if finding.readable and finding.folder is not None:
            whole, damaged = check_kernels(Layer(finding.folder, finding.named))
            folder = one_line(str(finding.folder))
            click.echo(f"checked       {folder}: {whole} kernels are whole, {len(damaged)} files are not")
            for file in damaged:
                click.echo(f"              {one_line(file.name)}")
            bad += len(damaged)
        if finding.writable:
            break
    return 1 if bad else 0


def _clear() -> None:
    count = size = 0
    for folder in _folders():
        weight = _bytes(folder)
        try:
            shutil.rmtree(folder)
        except OSError as error:
            click.echo(f"Warning: {one_line(str(folder))}: cannot be removed ({error.strerror or error})", err=True)
        else:
            count, size = count + 1, size + weight
    click.echo(f"removed       {count} folders, {size / 1e6:.1f} MB")


def _folders() -> Iterator[Path]:
    """This program's folders in all places, of any version; not those of others, nor what links lead to."""
    for place in find_places():
        if not isinstance(place, Place):
            continue
        with suppress(OSError):
            for folder in sorted(place.parent.iterdir()):
                is_ours = _LEAF.fullmatch(folder.name) and not folder.is_symlink() and folder.is_dir()
                if is_ours and not distrust(folder.lstat(), place.named):
                    yield folder


def _bytes(folder: Path) -> int:
    total = 0
    with suppress(OSError):
        for file in folder.iterdir():
            with suppress(OSError):
                total += file.lstat().st_size
    return total
