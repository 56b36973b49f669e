"""From photos to the texts of their codes: ``python examples/read_codes.py photo.jpg ...``

``darknet-py codes photo.jpg ...`` does the same, and more. Needs zxing-cpp: ``pip install ".[codes]"``.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from darknet_py import DarknetError, Detector
from darknet_py.codes import read_codes


def main(pictures: Sequence[str]) -> int:
    """A line for each code: its picture, kind, place and text; the exit code."""
    detector, failed = Detector(), False
    for name in pictures:
        try:
            for code in read_codes(detector, name):
                click.echo(f"{name}: {code.kind} {' '.join(f'{edge:.0f}' for edge in code.xyxy)} {code.text!r}")
        except DarknetError as error:
            click.echo(f"Error: {error}", err=True)
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
