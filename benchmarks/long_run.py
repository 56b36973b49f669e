"""One long run, named on the command line; see `long_runs`, which starts each in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import hashlib
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from darknet_py import Detections, Detector
from darknet_py.shipped import shipped_pictures

#: Beyond what its measurement swings by.
_FLAT_MB = 8.0

Found = tuple[str, str]


def _memory_mb() -> float:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _picture() -> Path:
    return Path(shipped_pictures()[0])


def _digest(found: Detections) -> str:
    values = [np.ascontiguousarray(part).tobytes() for part in (found.xyxy, found.confidence, found.class_id)]
    return hashlib.sha256(b"".join(values)).hexdigest()


def _flat(numbers: list[float], what: str) -> str:
    """From the second sample on; the first may still fill caches."""
    rise = max(numbers[1:]) - numbers[0]
    assert rise <= _FLAT_MB, f"{what}: {numbers}"
    return f"{numbers[0]:.0f} MB after 200, {numbers[-1]:.0f} MB at the end"


def detections() -> Found:
    """5 000 detections of a file, of bytes, of an array and of a broken file, in turn."""
    detector = Detector(threads=2)
    data = _picture().read_bytes()
    sources = [_picture(), data, np.full((200, 300, 3), 90, np.uint8), data[: len(data) // 3]]
    memory, descriptors, right = [], set(), set()
    for number in range(5000):
        with contextlib.suppress(Exception):
            found = detector.detect(sources[number % 4])
            if number % 4 < 2:
                right.add(_digest(found))
        if number % 600 == 200:
            memory.append(_memory_mb())
            descriptors.add(_descriptors())
    memory.append(_memory_mb())
    assert len(right) == 1 and len(descriptors) == 1, (right, descriptors)
    return "5 000 detections, one in four of a damaged file", (
        f"{_flat(memory, 'memory')}; {descriptors.pop()} file descriptors throughout; the same boxes each time"
    )


def crowd() -> Found:
    """40 threads at once, then one."""
    detector = Detector(threads=1)
    picture = _picture()
    detector.detect(picture)
    before = _memory_mb()
    with ThreadPoolExecutor(40) as pool:
        results = {_digest(found) for found in pool.map(detector.detect, [picture] * 400)}
    for _ in range(40):
        detector.detect(picture)
    after = _memory_mb()
    ctypes.CDLL(None).malloc_trim(0)
    trimmed = _memory_mb()
    kept = sum(len(states) for states in detector.network._pool._states.values())
    assert len(results) == 1 and kept <= 4, kept
    return "40 threads detect at once, then one", (
        f"{before:.0f} MB before, {after:.0f} MB after, of which the C library holds {after - trimmed:.0f} free for "
        f"the next crowd (`malloc_trim`); states kept: {kept}; the same boxes in all threads"
    )


def models() -> Found:
    """50 models loaded, used and dropped."""
    memory, descriptors = [], set()
    for number in range(50):
        detector = Detector(threads=1, size=(320 + 32 * (number % 3), 320))
        detector.detect(_picture())
        del detector
        if number % 10 == 9:
            memory.append(_memory_mb())
            descriptors.add(_descriptors())
    assert len(descriptors) == 1 and max(memory[1:]) - memory[0] < _FLAT_MB, (memory, descriptors)
    return "50 models loaded, used and dropped", (
        f"{memory[0]:.0f} MB after 10, {memory[-1]:.0f} MB after 50; {descriptors.pop()} file descriptors throughout"
    )


def threads() -> Found:
    """One detector under eight threads for a minute, of which each has its own size of picture."""
    detector = Detector(threads=2)
    pictures = [np.random.default_rng(n).integers(0, 256, (200 + 30 * n, 300, 3), np.uint8) for n in range(8)]
    expected = [_digest(detector.detect(picture, 0.001)) for picture in pictures]
    end = time.monotonic() + 60

    def work(number: int) -> int:
        count = 0
        while time.monotonic() < end:
            assert _digest(detector.detect(pictures[number], 0.001)) == expected[number], number
            count += 1
        return count

    with ThreadPoolExecutor(8) as pool:
        total = sum(pool.map(work, range(8)))
    return "one Detector under 8 threads for 60 s", f"{total} detections, bit for bit those of one thread"


def _in_child(_: int) -> str:
    return _digest(_detectors[0].detect(_picture()) if _detectors else Detector(threads=2).detect(_picture()))


_detectors: list[Detector] = []


def processes() -> Found:
    """Forked in the middle of detections, spawned, by a forkserver."""
    _detectors.append(Detector(threads=2))
    expected = _digest(_detectors[0].detect(_picture()))
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            _detectors[0].detect(_picture())

    others = [threading.Thread(target=busy) for _ in range(2)]
    for other in others:
        other.start()
    forked = 0
    for _ in range(30):
        child = os.fork()
        if child == 0:
            os._exit(0 if _in_child(0) == expected else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        forked += 1
    stop.set()
    for other in others:
        other.join()
    for way in ("spawn", "forkserver"):
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(way)) as pool:
            assert set(pool.map(_in_child, range(4))) == {expected}
    return "30 forks while two threads detect; spawn; forkserver", f"{forked} + 4 + 4 children with the same boxes"


def server() -> Found:
    """What gunicorn does with preload: a model loaded, then forked workers, each of which is asked and replaced."""
    _detectors.append(Detector(threads=2))
    expected = _digest(_detectors[0].detect(_picture()))
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        assert set(pool.map(_in_child, range(40))) == {expected}

    async def ask() -> set[str]:
        loop = asyncio.get_running_loop()
        detect = [loop.run_in_executor(None, _detectors[0].detect, _picture()) for _ in range(40)]
        return {_digest(found) for found in await asyncio.gather(*detect)}

    assert asyncio.run(ask()) == {expected}
    return "loaded, then forked workers (gunicorn's preload); asyncio", "40 + 40 detections with the same boxes"


def empty_cache() -> Found:
    """Two processes on an empty cache, against one."""
    seconds = []
    for count in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            environment = os.environ | {"DARKNET_PY_CACHE_DIR": folder, "DARKNET_PY_CONVOLUTION": "direct"}
            begun = time.monotonic()
            command = [sys.executable, "-m", "darknet_py", "detect", "--json", "-", str(_picture())]
            started = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) for _ in range(count)]
            said = {one.communicate()[0] for one in started}
            seconds.append(time.monotonic() - begun)
            assert len(said) == 1 and not any(one.returncode for one in started)
    return "two processes on an empty cache", (
        f"both right, {seconds[1]:.0f} s together, {seconds[0]:.0f} s for one alone: each compiles for itself"
    )


def signals() -> Found:
    """SIGINT and SIGTERM at 500 random moments of a command that writes JSON; then a run that is not disturbed."""
    dice = random.Random(1)
    ended = {"whole": 0, "stopped": 0}
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "found.json"
        command = [sys.executable, "-m", "darknet_py", "detect", "--json", str(target), *[str(_picture())] * 12]
        for _ in range(2):  # the second has all kernels and timings, and says how long one takes here
            begun = time.monotonic()
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        longest = 1.2 * (time.monotonic() - begun)
        whole = target.read_bytes()
        for number in range(500):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(dice.random() * longest)
            process.send_signal(signal.SIGINT if number % 2 else signal.SIGTERM)
            _, said = process.communicate(timeout=120)
            ended["stopped" if process.returncode else "whole"] += 1
            # Before Python has the package's handlers it may end by the signal itself, with its own traceback.
            early = process.returncode < 0 or b"runpy" in said
            assert early or process.returncode in (0, 130, 143), (process.returncode, said)
            assert early or b"Traceback" not in said, said
            assert [file.name for file in Path(folder).iterdir()] == [target.name]
            assert isinstance(json.loads(target.read_bytes()), list)
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        assert target.read_bytes() == whole
    return "SIGINT and SIGTERM at 500 random moments", (
        f"{ended['stopped']} ended early, {ended['whole']} were done; no file left over, the JSON always whole, then "
        "the same results"
    )


RUNS: dict[str, Callable[[], Found]] = {
    "detections": detections,
    "crowd": crowd,
    "models": models,
    "threads": threads,
    "processes": processes,
    "server": server,
    "empty-cache": empty_cache,
    "signals": signals,
}

if __name__ == "__main__":
    print("\n".join(RUNS[sys.argv[1]]()))
