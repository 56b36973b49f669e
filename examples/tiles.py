"""Small objects in large pictures: ``python examples/tiles.py aerial.tif board.jpg ...``

``darknet-py detect --tiles auto aerial.tif`` does the same, and more; docs/tiles.md says how.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from darknet_py import DarknetError, Detector


def main(pictures: Sequence[str]) -> int:
    """A line for each object: its picture, class, confidence and place; the exit code."""
    detector, failed = Detector(), False
    for name in pictures:
        try:
            for one in detector.detect_tiled(name).sorted():
                place = " ".join(f"{edge:.0f}" for edge in one.xyxy)
                click.echo(f"{name}: {one.class_name} {one.confidence:.0%} {place}")
        except DarknetError as error:
            click.echo(f"Error: {error}", err=True)
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
