"""The queue before a detector: bounded, decoding beside detecting, pictures that wait computed together."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from queue import Empty, Queue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darknet_py.boxes.detections import Detections
from darknet_py.detector import Detector
from darknet_py.errors import DarknetError
from darknet_py.limits import Limits, within
from darknet_py.network import MOST_TOGETHER
from darknet_py.pictures.load import load_image

__all__ = ["Busy", "Engine", "Found", "Late"]

_log = logging.getLogger(__name__)

#: Threads that decode. One keeps up with a detector on two cores; the second hides a large picture.
_DECODERS = 2


class Busy(Exception):
    """More pictures are waiting than may."""


class Late(Exception):
    """A picture's turn came after its time was up."""


@dataclass(frozen=True)
class Found:
    """What came of one picture.

    Attributes
    ----------
    detections : Detections
    decoding, detecting : float
        Seconds; those of detecting are of all pictures that were computed together.
    together : int
        How many these were.
    """

    detections: Detections
    decoding: float
    detecting: float
    together: int


@dataclass(frozen=True, eq=False)
class _Job:
    data: bytes
    options: tuple[tuple[str, Any], ...]
    deadline: float
    answer: Future[Found] = field(default_factory=Future)
    pixels: NDArray[np.uint8] | None = None
    decoding: float = 0.0

    @property
    def wanted(self) -> bool:
        """Whether somebody still waits for the answer; what is late learns so."""
        if time.monotonic() > self.deadline:
            self.fail(Late())
        return not self.answer.done()

    def fail(self, error: Exception) -> None:
        """Give an exception for an answer, if it is still waited for."""
        if not isinstance(error, DarknetError | MemoryError | Late):
            _log.error("%s", error, exc_info=error)
        if self.answer.running() or self.answer.set_running_or_notify_cancel():
            self.answer.set_exception(error)


class Engine:
    """Pictures in, detections out, in the order of arrival; a context manager that ends its threads.

    Parameters
    ----------
    detector : Detector
    waiting : int
        Pictures that may be in the house at the same time.
    max_pixels : int
        Of a picture.

    Notes
    -----
    Pictures that wait while others are computed are computed together, up to eight that ask for the same thing: the
    network's weights are read once for all of them, and the threads meet once.
    """

    def __init__(self, detector: Detector, *, waiting: int, max_pixels: int) -> None:
        self._detector = detector
        self._channels = detector.graph.blob.c
        self._limits = replace(Limits.from_environment(), max_pixels=max_pixels)
        self._free = threading.BoundedSemaphore(waiting)
        self._most = waiting
        self._inside = 0
        self._count = threading.Lock()
        self._encoded: Queue[_Job | None] = Queue()
        self._decoded: Queue[_Job | None] = Queue(MOST_TOGETHER)
        self._threads = [threading.Thread(target=self._decode, daemon=True) for _ in range(_DECODERS)]
        self._threads.append(threading.Thread(target=self._detect, daemon=True))

    def __enter__(self) -> Engine:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *of_the_block: object) -> None:
        for _ in range(_DECODERS):
            self._encoded.put(None)
        for thread in self._threads[:-1]:
            thread.join()
        self._decoded.put(None)
        self._threads[-1].join()

    @property
    def alive(self) -> bool:
        """Whether all threads go on."""
        return all(thread.is_alive() for thread in self._threads)

    @property
    def inside(self) -> int:
        """Pictures that wait or are being computed."""
        return self._inside

    @property
    def full(self) -> bool:
        """Whether one more picture would be refused."""
        return self._inside >= self._most

    def submit(self, data: bytes, options: Iterable[tuple[str, Any]], patience: float) -> Future[Found]:
        """Have an image file's bytes looked at.

        Parameters
        ----------
        data : bytes
        options : iterable of (str, object)
            Of ``Detector.detect``.
        patience : float
            Seconds after which nobody waits for the answer any more.

        Returns
        -------
        Future of Found
            Its exception is a DarknetError where the picture or the options are wrong.

        Raises
        ------
        Busy
        """
        if not self._free.acquire(blocking=False):
            raise Busy
        with self._count:
            self._inside += 1
        job = _Job(data, tuple(options), time.monotonic() + patience)
        job.answer.add_done_callback(self._left)
        self._encoded.put(job)
        return job.answer

    def _left(self, answer: Future[Found]) -> None:
        with self._count:
            self._inside -= 1
        self._free.release()

    def _decode(self) -> None:
        while (job := self._encoded.get()) is not None:
            if not job.wanted:
                continue
            start = time.perf_counter()
            try:
                with within(self._limits, "the server's --max-pixels"):
                    pixels = load_image(job.data, channels=self._channels)
            except Exception as error:
                job.fail(error)
                continue
            self._decoded.put(replace(job, data=b"", pixels=pixels, decoding=time.perf_counter() - start))
            del job, pixels

    def _detect(self) -> None:
        kept: _Job | None = None
        ended = False
        while not ended or kept is not None:
            first = self._decoded.get() if kept is None else kept
            if first is None:
                return
            jobs, kept, ended = self._alike(first)
            self._look(jobs)
            del jobs, first

    def _alike(self, first: _Job) -> tuple[list[_Job], _Job | None, bool]:
        """Those that wait and ask for the same as the first; the one after them, and whether none will come."""
        jobs = [first]
        while len(jobs) < MOST_TOGETHER:
            try:
                job = self._decoded.get_nowait()
            except Empty:
                break
            if job is None:
                return jobs, None, True
            if job.options != first.options:
                return jobs, job, False
            jobs.append(job)
        return jobs, None, False

    def _look(self, jobs: list[_Job]) -> None:
        jobs = [job for job in jobs if job.wanted and job.answer.set_running_or_notify_cancel()]
        if jobs:
            self._answer(jobs)

    def _answer(self, jobs: list[_Job]) -> None:
        options: dict[str, Any] = dict(jobs[0].options)
        pictures = [job.pixels for job in jobs if job.pixels is not None]
        start = time.perf_counter()
        try:
            found = self._detector.detect_batch(pictures, bgr=False, **options)
        except MemoryError as error:
            if len(jobs) == 1:
                jobs[0].fail(error)
            else:  # one of them may be too large, the others are not
                for job in jobs:
                    self._answer([job])
        except Exception as error:
            for job in jobs:
                job.fail(error)
        else:
            seconds = time.perf_counter() - start
            for job, detections in zip(jobs, found, strict=True):
                job.answer.set_result(Found(detections, job.decoding, seconds, len(jobs)))
