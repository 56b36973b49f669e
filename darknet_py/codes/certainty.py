"""Which reads are certain: a wrong text is worse than none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from darknet_py.codes.zxing import Read

__all__ = ["certain"]

#: Symbologies whose error correction or check characters leave no doubt. All others have a check digit that one wrong
#: read in ten passes, or none: they have to be read alike in two views.
_SURE = ("QR Code", "Micro QR Code", "rMQR Code", "Data Matrix", "Aztec", "PDF417", "MicroPDF417", "MaxiCode")
#: Shortest texts of symbologies without an obligatory check character, of which stripes of any print make short ones.
_SHORTEST = {"ITF": 6, "Code 39": 4, "Codabar": 5, "Code 93": 3, "Telepen": 4}


def certain(reads: Sequence[Read]) -> Read | None:
    """What some reads of one place agree about; None if they are too few, or do not agree.

    Parameters
    ----------
    reads : sequence of Read
        Of different views.
    """
    votes = Counter((read.kind, read.text) for read in reads)
    if not votes:
        return None
    ((kind, text), count), *others = votes.most_common()
    if others and others[0][1] * 2 >= count:
        return None
    if count < (1 if kind.startswith(_SURE) else 2):
        return None
    if len(text) < next((least for name, least in _SHORTEST.items() if kind.startswith(name)), 1):
        return None
    return next(read for read in reads if (read.kind, read.text) == (kind, text))
