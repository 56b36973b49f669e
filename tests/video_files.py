"""Small videos for tests, by PyAV or by OpenCV: frame n has one bright cell, in which the tiny model finds a dog."""

from __future__ import annotations

import random
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import scene

from darknet_py.find_cv2 import need_cv2_for_video

#: Irregular, as of a telephone or of a screen that is recorded: milliseconds.
_GAPS = (7, 20, 33, 40, 100)
MILLISECOND = Fraction(1, 1000)


def cell(number: int) -> tuple[int, int]:
    """Column and row of the bright cell of frame `number`, counted from 1."""
    return (number - 1) % 4, (number - 1) // 4 % 3


def frame(number: int) -> np.ndarray:
    return scene(cell(number))


def irregular(count: int, seed: int = 1) -> list[int]:
    """Times in milliseconds."""
    chosen = random.Random(seed)
    times = [0]
    while len(times) < count:
        times.append(times[-1] + chosen.choice(_GAPS))
    return times


def write_video(
    path: Path,
    times: Sequence[int],
    base: Fraction = MILLISECOND,
    codec: str = "libx264",
    *,
    options: dict[str, str] | None = None,
    keyframes: int = 250,
    spoilt: Sequence[int] = (),
) -> Path:
    """A video with a frame at each of some times, in units of `base`; the packets numbered `spoilt` are no video."""
    av = pytest.importorskip("av", reason="needs PyAV")
    count = iter(range(1, len(times) + 1))

    def spoil(packet: Any) -> Any:
        if next(count) not in spoilt:
            return packet
        wrong = av.Packet(bytes([0xFF] * 40))
        wrong.stream, wrong.pts, wrong.dts = packet.stream, packet.pts, packet.dts
        wrong.time_base = packet.time_base
        return wrong

    with av.open(str(path), "w", options=options or {}) as out:
        stream = out.add_stream(codec, rate=30)
        stream.height, stream.width = frame(1).shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.options = {"g": str(keyframes)}
        stream.time_base = stream.codec_context.time_base = base
        for number, time in enumerate(times, 1):
            picture = av.VideoFrame.from_ndarray(frame(number), format="rgb24")
            picture.pts, picture.time_base = time, base
            out.mux([spoil(packet) for packet in stream.encode(picture)])
        out.mux([spoil(packet) for packet in stream.encode()])
    return path


def write_opencv(path: Path, count: int, rate: float = 10, codec: str = "MJPG") -> Path:
    """A video of constant rate by OpenCV."""
    pytest.importorskip("cv2")
    cv2 = need_cv2_for_video("a test")
    height, width = frame(1).shape[:2]
    out = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), rate, (width, height))
    assert out.isOpened()
    for number in range(1, count + 1):
        out.write(frame(number))
    out.release()
    return path


def turn(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Give the track of an MP4 a display matrix (a, b, c, d), as telephones do that were held upright."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    for place, value in zip((0, 4, 12, 16), matrix, strict=True):
        data[at + place : at + place + 4] = (value << 16).to_bytes(4, "big", signed=True)
    path.write_bytes(data)
    return path


def shown(path: Path) -> list[float]:
    """When PyAV itself shows each frame, in seconds."""
    av = pytest.importorskip("av")
    with av.open(str(path)) as container:
        return [one.time for one in container.decode(video=0)]
