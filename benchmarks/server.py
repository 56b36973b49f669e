"""A crowd at ``darknet-py serve``: throughput, answer times, memory, and that nobody gets somebody else's answer.

``python benchmarks/server.py [--cfg FILE --weights FILE] [--requests 2000] [--clients 16] [--write PAGE]
PICTURE...``

Five requests of a hundred are bad ones. Beside it stands `Detector.detect` in a loop, in this process, over the same
files: what the server could give at most. The two take turns, and the ratio is that of the medians. Prints a JSON
object; `--write docs/server.md` puts a table of it there.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from blocks import with_block

from darknet_py import Detector
from darknet_py.kernels.target import cpu_name
from darknet_py.shipped import BUILT_IN

BAD = (b"", b"these are words", b"http://127.0.0.1/photo.jpg", b"\xff\xd8\xff\xe0 and no more")
TURNS = 3


@contextmanager
def serving(options: list[str]) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The server, ready, and its port."""
    command = [sys.executable, "-m", "darknet_py", "serve", "--port", "0", *options]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        for line in running.stderr or ():
            found = re.search(r"at http://[^ ]*:(\d+) ", line)
            if found:
                yield running, int(found[1])
                return
        raise SystemExit("the server did not start")
    finally:
        running.terminate()
        running.wait(60)


def resident(pid: int) -> int:
    """Bytes of memory that a process has now."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


class Crowd:
    """Clients that send requests one after the other until all are done."""

    def __init__(self, port: int, bodies: list[bytes], expected: list[Any], requests: int, seed: int) -> None:
        chance = random.Random(seed)
        self._orders = iter(
            [None if chance.random() < 0.05 else chance.randrange(len(bodies)) for _ in range(requests)]
        )
        self._lock = threading.Lock()
        self._port, self._bodies, self._expected = port, bodies, expected
        self.seconds: list[float] = []
        self.good = self.wrong = self.refused = 0

    def run(self, clients: int) -> float:
        """Seconds until all requests are answered."""
        threads = [threading.Thread(target=self._client) for _ in range(clients)]
        start = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return time.perf_counter() - start

    def _client(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
        while True:
            with self._lock:
                order = next(self._orders, -1)
            if order == -1:
                connection.close()
                return
            body = BAD[len(self.seconds) % len(BAD)] if order is None else self._bodies[order]
            start = time.perf_counter()
            connection.request("POST", "/detect", body)
            response = connection.getresponse()
            answer = json.loads(response.read())
            taken = time.perf_counter() - start
            with self._lock:
                self._count(order, response.status, answer, taken)

    def _count(self, order: int | None, status: int, answer: Any, taken: float) -> None:
        self.seconds.append(taken)
        if order is None:
            self.wrong += status != 400
            self.refused += 1
        elif status != 200 or answer["detections"] != self._expected[order]:
            self.wrong += 1
        else:
            self.good += 1


def expected_of(port: int, body: bytes) -> Any:
    """What one client alone is answered."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("POST", "/detect", body)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer["detections"]


def loop(detector: Detector, bodies: list[bytes], count: int) -> float:
    """Pictures a second by `Detector.detect`, file to boxes."""
    start = time.perf_counter()
    for number in range(count):
        detector.detect(bodies[number % len(bodies)])
    return count / (time.perf_counter() - start)


def measure(given: argparse.Namespace) -> dict[str, Any]:
    """A crowd and a loop in turns; what came of it."""
    options = ["--cfg", given.cfg, "--weights", given.weights] if given.cfg else []
    bodies = [picture.read_bytes() for picture in given.pictures]
    detector = Detector(given.cfg, given.weights)
    loop(detector, bodies, len(bodies))
    served, alone, seconds, memory = [], [], [], []
    wrong = refused = 0
    with serving(options) as (running, port):
        expected = [expected_of(port, body) for body in bodies]
        for turn in range(TURNS):
            crowd = Crowd(port, bodies, expected, given.requests // TURNS, turn)
            taken = crowd.run(given.clients)
            served.append(crowd.good / taken)
            alone.append(loop(detector, bodies, max(20, crowd.good // 4)))
            seconds += crowd.seconds
            wrong, refused = wrong + crowd.wrong, refused + crowd.refused
            memory.append(resident(running.pid))
    return {
        "model": Path(given.cfg).stem if given.cfg else BUILT_IN,
        "requests": len(seconds),
        "clients": given.clients,
        "refused, as they should be": refused,
        "wrong answers": wrong,
        "answered a second": round(statistics.median(served), 1),
        "`detect` in a loop, pictures a second": round(statistics.median(alone), 1),
        "ratio": round(statistics.median(served) / statistics.median(alone), 2),
        "half of the answers within, ms": round(1e3 * statistics.median(seconds)),
        "99 of 100 within, ms": round(1e3 * statistics.quantiles(seconds, n=100)[98]),
        "resident MB after each third": ", ".join(str(round(value / 1e6)) for value in memory),
    }


def write(page: Path, found: dict[str, Any]) -> None:
    """Replace what stands between the page's marks by a table."""
    rows = [f"| {name} | {value} |" for name, value in found.items()]
    table = "\n".join([f"On {cpu_name()}, server and clients on the same machine:", "", "| | |", "|---|---|", *rows])
    page.write_text(with_block(page.read_text("utf-8"), "crowd", table), "utf-8")


def main() -> None:
    """Measure, and say what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pictures", nargs="+", type=Path)
    parser.add_argument("--cfg")
    parser.add_argument("--weights")
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--write", type=Path, metavar="PAGE")
    given = parser.parse_args()
    found = measure(given)
    json.dump(found, sys.stdout, indent=1, ensure_ascii=False)
    if given.write:
        write(given.write, found)


if __name__ == "__main__":
    main()
