"""What a run found in all, for its last line on the terminal."""

from __future__ import annotations

from array import array
from collections import Counter

from darknet_py.cli.tables import printable
from darknet_py.outputs import Record

__all__ = ["Totals"]

#: Classes that are listed, those with most objects.
_MOST_LISTED = 10


class Totals:
    """Objects by class, failures and times of all records."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._seconds = array("f")
        self._failed = self._frames = 0

    def add(self, record: Record) -> None:
        """One record more."""
        if record.detections is None:
            self._failed += 1
            return
        self._frames += record.frame is not None
        if record.codes is None:
            self._counts.update(record.detections.counts())
        else:
            self._counts.update(code.kind for code in record.codes if code.text is not None)
        if "detect" in record.timings:
            self._seconds.append(record.timings["detect"])

    def text(self) -> str:
        """The line; empty where fewer than two pictures were done, whose own lines say it all."""
        done = len(self._seconds)
        if done < 2:
            return ""
        from statistics import median

        most = self._counts.most_common()
        listed = [f"{count} {printable(name)}" for name, count in most[:_MOST_LISTED]]
        if len(most) > _MOST_LISTED:
            listed.append(
                f"{sum(count for _, count in most[_MOST_LISTED:])} of {len(most) - _MOST_LISTED} other classes"
            )
        failed = f", {self._failed} could not be done" if self._failed else ""
        return (
            f"{done} {_things(done, self._frames)}{failed}: {', '.join(listed) or 'nothing'}; "
            f"{1000 * median(self._seconds):.1f} ms each (median)"
        )


def _things(done: int, frames: int) -> str:
    if not frames:
        return "pictures"
    return "frames" if frames == done else "pictures and frames"
