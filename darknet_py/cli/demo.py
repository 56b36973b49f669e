"""``darknet-py demo``: the built-in model on the pictures that come with it."""

from __future__ import annotations

import time
from pathlib import Path

import click

from darknet_py.boxes.detections import Detections
from darknet_py.cli.options import FilePath, make_writable
from darknet_py.cli.warmup import announce_compiling, load_kernels
from darknet_py.detector import Detector
from darknet_py.draw import annotate, save_image
from darknet_py.errors import ImageError, OptionError
from darknet_py.files import check_writable
from darknet_py.pictures.load import load_image
from darknet_py.shipped import shipped_pictures

__all__ = ["demo"]


@click.command()
@click.option(
    "--output",
    "--out",
    default="darknet-py-demo",
    show_default=True,
    metavar="DIR",
    type=FilePath(file_okay=False, path_type=Path),
    help="Write the pictures with their boxes drawn to DIR.",
)
def demo(output: Path) -> None:
    """Find the codes in the pictures that come with darknet-py.

    Runs the built-in model, prints what it found in each picture and how long that took, and writes copies with the
    boxes drawn; of boxes of several classes in one place the likeliest is kept. Copies of an earlier demo are replaced;
    nothing else in DIR is touched.

    \b
    Examples:
      darknet-py demo
      darknet-py demo --output found/
    """
    pictures = shipped_pictures()
    if not pictures:
        raise ImageError("no pictures came with this installation: install darknet-py again")
    if output.resolve() == pictures[0].parent.resolve():
        raise OptionError(f"{output}: the pictures themselves are there: give another --output")
    make_writable(output, "--output")
    targets = [output / f"{picture.stem}-found.jpg" for picture in pictures]
    for target in targets:
        check_writable(target)
    announce_compiling()
    # A code has one kind, and the model now and then names two.
    detector = Detector(agnostic=True)
    load_kernels(detector.graph)
    for picture, target in zip(pictures, targets, strict=True):
        pixels = load_image(picture)
        start = time.perf_counter()
        found = detector.detect(pixels, bgr=False)
        seconds = time.perf_counter() - start
        save_image(target, annotate(pixels, found, bgr=False), bgr=False)
        click.echo(f"{picture.name}: {_listed(found)} in {1e3 * seconds:.1f} ms")
    click.echo(f"\nThe pictures with their boxes are in {click.format_filename(output)}. Next, one of your own:")
    click.echo("  darknet-py detect --agnostic-nms --out found your-picture.jpg")


def _listed(found: Detections) -> str:
    """Every class and its confidence, likeliest first."""
    order = (-found.confidence).argsort(kind="stable")
    return ", ".join(f"{one.class_name} {one.confidence:.0%}" for one in found[order]) or "nothing found"
