"""Counts and times of a server, in Prometheus' text format."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter

__all__ = ["Metrics"]

#: Upper ends of the histogram's bins, in seconds.
_BINS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """What has happened since the start; may be told and asked by several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._bins = [0] * (len(_BINS) + 1)
        self._seconds = 0.0
        self._pictures = self._boxes = 0
        self._runs = self._detecting = 0.0

    def answered(self, route: str, status: int, seconds: float) -> None:
        """One request, from its first byte to its answer."""
        with self._lock:
            self._requests[route, status] += 1
            self._bins[bisect_left(_BINS, seconds)] += 1
            self._seconds += seconds

    def looked(self, boxes: int, detecting: float, together: int) -> None:
        """One picture that was computed, with `together` - 1 others in `detecting` seconds."""
        with self._lock:
            self._pictures += 1
            self._boxes += boxes
            self._runs += 1 / together
            self._detecting += detecting / together

    def text(self, *, waiting: int, model: str, version: str) -> str:
        """All of it, in version 0.0.4 of the format."""
        with self._lock:
            lines = [
                *_head("darknet_requests_total", "counter", "Requests by route and status."),
                *(
                    f'darknet_requests_total{{route="{route}",status="{status}"}} {count}'
                    for (route, status), count in sorted(self._requests.items())
                ),
                *_head("darknet_request_seconds", "histogram", "From a request's head to its answer."),
                *self._histogram("darknet_request_seconds"),
                *_head("darknet_pictures_total", "counter", "Pictures looked at."),
                f"darknet_pictures_total {self._pictures}",
                *_head("darknet_boxes_total", "counter", "Boxes reported."),
                f"darknet_boxes_total {self._boxes}",
                *_head("darknet_runs_total", "counter", "Runs of the network, each of one picture or of several."),
                f"darknet_runs_total {round(self._runs)}",
                *_head("darknet_detect_seconds_total", "counter", "Time spent from pixels to boxes."),
                f"darknet_detect_seconds_total {self._detecting:.6f}",
                *_head("darknet_waiting", "gauge", "Pictures that wait or are being computed."),
                f"darknet_waiting {waiting}",
                *_head("darknet_info", "gauge", "What is running."),
                f'darknet_info{{model="{_escaped(model)}",version="{_escaped(version)}"}} 1',
            ]
        return "\n".join(lines) + "\n"

    def _histogram(self, name: str) -> list[str]:
        lines, below = [], 0
        for end, count in zip((*map(str, _BINS), "+Inf"), self._bins, strict=True):
            below += count
            lines.append(f'{name}_bucket{{le="{end}"}} {below}')
        return [*lines, f"{name}_sum {self._seconds:.6f}", f"{name}_count {below}"]


def _head(name: str, kind: str, what: str) -> tuple[str, str]:
    return f"# HELP {name} {what}", f"# TYPE {name} {kind}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
