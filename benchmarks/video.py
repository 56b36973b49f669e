"""Frames per second of a video from file to records, beside what the network alone allows, taking turns.

    python benchmarks/video.py [--cfg FILE --weights FILE] [--video FILE] [--threads 2] [--seconds 60] [--rounds 3]

"network" runs the forward pass on a prepared blob, nothing else, on all threads; "end to end" is
``darknet-py detect VIDEO --jsonl FILE``: decoding, resizing, network, boxes and records (and, with ``--out``, the
annotated video). Without --video one of 1080p is made of the pictures that ship, which drift and turn into each other
every two seconds (--make FILE makes it ahead, for several runs); without --cfg it is yolov4-tiny with seeded weights,
whose boxes mean nothing and are left out. The network is timed before and after each video, as machines drift.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image

from darknet_py import Detector, SeededWeights
from darknet_py.cli.drawing import Drawing
from darknet_py.cli.loop import Loop
from darknet_py.cli.report import Report
from darknet_py.cli.totals import Totals
from darknet_py.outputs import Outputs
from darknet_py.outputs.json_lines import JsonLines
from darknet_py.outputs.run_settings import describe_run
from darknet_py.shipped import resolve_cfg, shipped_pictures
from darknet_py.sources.frames import Where, open_video
from darknet_py.sources.opening import Asked

WIDTH, HEIGHT, RATE = 1920, 1080, 30

#: What the names of videos begin with whose times are known: they were made here.
_MADE = "made-"

_ABOVE_ALL = 0.95


def make_video(path: Path, seconds: int) -> None:
    """Photographs that drift by a pixel or two a frame, at 30 frames per second."""
    import av

    margin = 2 * RATE * 2
    pictures = []
    for file in shipped_pictures():
        with Image.open(file) as picture:
            pictures.append(np.asarray(picture.convert("RGB").resize((WIDTH + margin, HEIGHT + margin))))
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=RATE, options={"preset": "veryfast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(seconds * RATE):
            at = number % (2 * RATE)
            pixels = pictures[number // (2 * RATE) % len(pictures)][at : at + HEIGHT, 2 * at : 2 * at + WIDTH]
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")))
        out.mux(stream.encode())


def end_to_end(detector: Detector, video: Path, folder: Path, out: Path | None, thresh: float) -> float:
    """Seconds per frame of what ``detect`` does; sees to it that every frame has its record and time."""
    lines = folder / "frames.jsonl"
    lines.unlink(missing_ok=True)
    outputs = Outputs([], JsonLines(str(lines)))
    said = contextlib.redirect_stderr(io.StringIO())
    begun = time.perf_counter()
    with outputs, said:
        outputs.begin(describe_run(detector, detector.selection(thresh)))
        report = Report(1, tables=False)
        loop = Loop(detector, {"thresh": thresh}, outputs, Drawing(out, [str(video)]), report, Totals(), lambda _: None)
        loop.run([str(video)], Asked())
    seconds = time.perf_counter() - begun
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    assert all(record["error"] is None for record in records), "a frame failed"
    assert [record["frame"] for record in records] == list(range(1, len(records) + 1))
    times = [record["time"] for record in records]
    with open_video(Where(str(video), str(video))) as opened:
        rate = float(opened.info.rate or RATE)
    if video.name.startswith(_MADE):
        assert np.abs(np.array(times) - np.arange(len(times)) / rate).max() < 1e-3, "a frame has a wrong time"
    assert all(after > before for before, after in pairwise(times)), "times go back"
    return seconds / len(records)


def network(detector: Detector, count: int) -> float:
    """Seconds per forward pass."""
    blob = np.random.default_rng(0).random(tuple(detector.graph.blob), dtype=np.float32)
    begun = time.perf_counter()
    for _ in range(count):
        detector.network.run(blob)
    return (time.perf_counter() - begun) / count


def decoding(video: Path) -> float:
    """Seconds per frame of decoding alone."""
    from darknet_py.sources.choice import Choice

    begun, count = time.perf_counter(), 0
    with open_video(Where(str(video), str(video))) as opened:
        for frame in opened.frames(Choice()):
            frame.load("rgb")
            count += 1
    return (time.perf_counter() - begun) / count


def measure(ways: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(way())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cfg", default="yolov4-tiny")
    parser.add_argument("--weights")
    parser.add_argument("--video", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=int, default=60, help="of the video that is made")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--passes", type=int, default=200, help="of the network alone, in each round")
    parser.add_argument("--out", action="store_true", help="write the annotated video as well")
    parser.add_argument("--make", type=Path, metavar="FILE", help="make the video, made-*.mp4, and end")
    options = parser.parse_args()
    if options.make is not None:
        make_video(options.make, options.seconds)
        return
    detector = Detector(resolve_cfg(options.cfg), options.weights or SeededWeights(1), threads=options.threads)
    # Seeded weights find thousands of boxes in a frame, and what takes the time is to write them down.
    thresh = 0.25 if options.weights else _ABOVE_ALL
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        video = options.video or folder / f"{_MADE}video.mp4"
        if options.video is None:
            make_video(video, options.seconds)
        out = None
        if options.out:
            out = folder / "drawn"
            out.mkdir()
        network(detector, 20)
        ways: dict[str, Callable[[], float]] = {
            "network": lambda: network(detector, options.passes),
            "end to end": lambda: end_to_end(detector, video, folder, out, thresh),
            "network again": lambda: network(detector, options.passes),
            "decoding": lambda: decoding(video),
        }
        found = measure(ways, options.rounds)
    print(f"{detector.network.description}, {options.rounds} rounds; frames per second: median (best)")
    for name, seconds in found.items():
        print(f"{name:<14}{1 / statistics.median(seconds):8.1f} ({1 / min(seconds):.1f})")
    rounds = zip(found["network"], found["network again"], found["end to end"], strict=True)
    ratios = sorted((before + after) / 2 / whole for before, after, whole in rounds)
    print(f"end to end / network, round by round: {', '.join(f'{ratio:.2f}' for ratio in ratios)}")


if __name__ == "__main__":
    main()
