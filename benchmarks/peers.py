"""The runtimes that can be compared, and each of them as a process that is asked for times."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import darknet_py

__all__ = ["RUNTIMES", "Peer", "PeerError", "Runtime", "parse_pairs", "parse_runtimes"]

_FOLDER = Path(__file__).parent
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Runtime:
    """How a runtime is called in tables, the module in ``runtimes/`` that drives it, and its options.

    ``reads`` is the format it loads; ``compiles_once``: its very first process compiles and measures what later ones
    find on the disk.
    """

    title: str
    module: str
    reads: str
    options: dict[str, Any] = field(default_factory=dict)
    compiles_once: bool = False


#: Name on the command line → runtime.
RUNTIMES = {
    "darknet-py": Runtime("darknet-py", "darknet_py", "weights", {}, True),
    "darknet-py-bfloat16": Runtime("darknet-py bfloat16", "darknet_py", "weights", {"precision": "bfloat16"}, True),
    "darknet-py-exact": Runtime("darknet-py exact", "darknet_py", "weights", {"exact": True}, True),
    "onnxruntime": Runtime("ONNX Runtime", "onnxruntime", "onnx"),
    "openvino": Runtime("OpenVINO f32", "openvino", "onnx", {"precision": "f32"}),
    "openvino-default": Runtime("OpenVINO default", "openvino", "onnx"),
    "ncnn": Runtime("ncnn", "ncnn", "pnnx"),
    "opencv4": Runtime("OpenCV 4 Darknet", "opencv", "weights", {"format": "darknet"}),
    "opencv5": Runtime("OpenCV 5 ONNX", "opencv", "onnx", {"format": "onnx"}),
    "torch": Runtime("torch.compile", "torch", "pnnx"),
    "darknet": Runtime("Darknet", "darknet", "program"),
}


class PeerError(Exception):
    """A runtime cannot do what it was asked; the message is the reason it is left out."""


class Peer:
    """One runtime in its own process, kept alive between requests.

    Parameters
    ----------
    name : str
        A key of RUNTIMES.
    python : str
        The interpreter that has the runtime installed.
    threads : int
    log : Path
        Where its stderr goes.
    timeout : float
        Seconds a request may take before the process is ended.
    """

    def __init__(self, name: str, python: str, threads: int, log: Path, timeout: float) -> None:
        self.name, self.threads, self._timeout, self._log = name, threads, timeout, log
        self.runtime = RUNTIMES[name]
        environment = {**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(threads))}
        # darknet-py may be a checkout that is not installed in that interpreter.
        environment["PYTHONPATH"] = str(Path(darknet_py.__file__).parents[1])
        try:
            with log.open("wb") as stderr:
                self._process = subprocess.Popen(
                    [python, str(_FOLDER / "serve.py"), self.runtime.module],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=environment, cwd=_FOLDER,
                )  # fmt: skip
        except OSError as error:
            raise PeerError(f"{python}: {error.strerror}") from error

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Send a request and wait for its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        watchdog = threading.Timer(self._timeout, self._process.kill)
        watchdog.start()
        try:
            self._process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError:
            line = b""
        finally:
            timed_out = not watchdog.is_alive()
            watchdog.cancel()
        if not line:
            raise PeerError(f"no answer in {self._timeout:.0f} s" if timed_out else self._last_words())
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise PeerError(reply["error"].strip().splitlines()[0])
        return reply

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        return f"the process ended with code {self._process.wait()}{': ' + lines[-1] if lines else ''}"

    def close(self) -> None:
        """End the process."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def parse_runtimes(text: str) -> list[str]:
    """Names of RUNTIMES out of a comma-separated list, for argparse."""
    names = text.split(",")
    unknown = [name for name in names if name not in RUNTIMES]
    if unknown:
        raise argparse.ArgumentTypeError(f"no runtime {', '.join(unknown)}: expected some of {', '.join(RUNTIMES)}")
    return names


def parse_pairs(texts: list[str], option: str) -> dict[str, str]:
    """NAME=PATH options as a dict."""
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise SystemExit(f"{option} {text}: expected NAME=PATH")
        pairs[key] = value
    return pairs
