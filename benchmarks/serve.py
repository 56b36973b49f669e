"""The process of one runtime: requests come as JSON lines on stdin, answers leave as JSON lines on stdout.

``python serve.py MODULE`` is started by ``peers.Peer``; it needs numpy and the runtime, nothing of darknet-py.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from typing import Any

import numpy as np

_WARM_UP_SECONDS = 0.5


class Server:
    """One session of one runtime; each method is a request."""

    def __init__(self, module: str) -> None:
        self._runtime = importlib.import_module(f"runtimes.{module}")
        self._session: Any = None

    def hello(self) -> dict[str, Any]:
        return {"version": self._runtime.version()}

    def load(self, files: dict[str, Any], threads: int, options: dict[str, Any], outputs: str) -> dict[str, Any]:
        """Open the model and run it once, both timed; its outputs go to the file `outputs`."""
        start = time.perf_counter()
        self._session = self._runtime.Session(files, threads, options)
        loaded = time.perf_counter()
        self._session.run()
        first = time.perf_counter()
        reply = {"load": loaded - start, "first": first - loaded, "precision": self._session.precision}
        if hasattr(self._session, "boxes"):
            reply |= {"stage": "boxes", "boxes": self._session.boxes()}
        else:
            found, reply["stage"] = self._maps()
            np.savez(outputs, *found)
        deadline = time.perf_counter() + _WARM_UP_SECONDS
        while time.perf_counter() < deadline:
            self._session.run()
        return reply

    def _maps(self) -> tuple[list[np.ndarray], str]:
        """The heads' outputs, or what enters the heads, and which of both it is."""
        if hasattr(self._session, "before_heads"):
            before = self._session.before_heads()
            if before is not None:
                return before, "before heads"
        return self._session.run(), "heads"

    def infer(self, blobs: str, outputs: str) -> dict[str, Any]:
        """Run each of the blobs in a file, (n, C, H, W); the maps of all go to `outputs`, head by head."""
        found, stage = [], "heads"
        for blob in np.load(blobs, mmap_mode="r"):
            self._session.blob = np.ascontiguousarray(blob[None])
            maps, stage = self._maps()
            found.append(maps)
        np.savez(outputs, *(np.concatenate(column) for column in zip(*found, strict=True)))
        return {"stage": stage}

    def time(self, runs: int) -> dict[str, Any]:
        """Seconds of each of `runs` inferences, after one that is not counted: other processes ran in between."""
        self._session.run()
        if hasattr(self._session, "time"):
            return {"seconds": self._session.time(runs)}
        seconds = []
        for _ in range(runs):
            start = time.perf_counter()
            self._session.run()
            seconds.append(time.perf_counter() - start)
        return {"seconds": seconds}

    def memory(self) -> dict[str, Any]:
        """Peak resident bytes of this process or the program it drives, null where the system does not say."""
        return {"bytes": _peak_resident_bytes(getattr(self._session, "pid", None))}


def _peak_resident_bytes(program: int | None) -> int | None:
    try:
        # Unlike getrusage's, this peak does not begin with that of the process we were forked from.
        with open(f"/proc/{program or 'self'}/status") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        pass
    try:
        import resource
    except ImportError:
        return None
    if program:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def main() -> None:
    """Answer requests until stdin ends."""
    # Libraries print; only this channel carries answers.
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)
    server: Server | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if server is None:
                server = Server(sys.argv[1])
            reply = getattr(server, request.pop("do"))(**request)
        except Exception as error:  # whatever a foreign library raises becomes the reason it is skipped
            reply = {"error": f"{type(error).__name__}: {error}" if not isinstance(error, RuntimeError) else str(error)}
        channel.write(json.dumps(reply) + "\n")


if __name__ == "__main__":
    main()
