"""What outlives a run: what recurrent layers remember, and what a caller keeps beside the network."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from darknet_py.arguments import as_integer, short
from darknet_py.errors import OptionError

if TYPE_CHECKING:
    from darknet_py.network import Network
    from darknet_py.plan.state import State

__all__ = ["Session", "forget"]

Floats = NDArray[np.float32]


class Session:
    """Runs of a network that remember those before them; made by `Network.session`.

    The network itself holds nothing between runs and may serve other threads and other sessions at the same time; a
    session is one stream of blobs, or several side by side, and takes one run at a time.

    Parameters
    ----------
    network : Network
    images : int
        Streams that it follows: every run is about so many images, the first of them always the first stream's.

    Attributes
    ----------
    network : Network
    images : int
    lasting : dict of (int, str) to ndarray, shape (images, H, W, C), float32
        What each layer (by its index) keeps under a name (see `Layer.lasting`), as the last run left it.
    beside : dict
        For whoever runs the network: what else belongs to the stream, such as a video's previous frame. The session
        does nothing with it, but to forget it.

    Notes
    -----
    Pickled or copied, it takes along what it remembers (and its network as that travels). A copy by `copy.copy` is
    of the same network, and goes on alone from there.
    """

    def __init__(self, network: Network, images: int = 1) -> None:
        self.network = network
        self.images = as_integer("images", images, low=1)
        self.lasting: dict[tuple[int, str], Floats] = {
            (layer.index, name): np.zeros((self.images, shape.h, shape.w, shape.c), np.float32)
            for layer in network.graph.layers
            for name, shape in layer.lasting
        }
        self.beside: dict[Any, Any] = {}
        self._running = threading.Lock()

    def __repr__(self) -> str:
        return f"Session({self.network.description}, images={self.images})"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_running"}

    def __setstate__(self, attributes: dict[str, Any]) -> None:
        vars(self).update(attributes, _running=threading.Lock())

    def __copy__(self) -> Session:
        other = object.__new__(type(self))
        with self.in_use():
            own = copy.deepcopy((self.lasting, self.beside), {id(self.network): self.network, id(self): other})
            other.__setstate__({**self.__getstate__(), "lasting": own[0], "beside": own[1]})
        return other

    def reset(self, image: int | None = None) -> None:
        """Forget what was before: all streams, and what is `beside` them, or one stream alone.

        Raises
        ------
        OptionError
            There is no such stream; or the session is at work in another thread, and nothing is forgotten.
        """
        streams = slice(None)
        if image is not None:
            number = as_integer("image", image, low=0, high=self.images - 1)
            streams = slice(number, number + 1)
        with self.in_use():
            if image is None:
                self.beside.clear()
            for values in self.lasting.values():
                values[streams] = 0

    @overload
    def run(self, blob: Any, taps: None = None) -> list[Floats]: ...
    @overload
    def run(self, blob: Any, taps: Sequence[int]) -> dict[int, Floats]: ...
    def run(self, blob: Any, taps: Sequence[int] | None = None) -> list[Floats] | dict[int, Floats]:
        """As `Network.run`, after the runs before; a blob (N, C, H, W) has one image for each stream.

        Raises
        ------
        OptionError
            As there; or there are more or fewer images than streams, or the session is at work in another thread.
        """
        return self.network.run(blob, taps, session=self)

    @overload
    def run_sequence(self, blobs: Iterable[Any], taps: None = None) -> list[Floats]: ...
    @overload
    def run_sequence(self, blobs: Iterable[Any], taps: Sequence[int]) -> dict[int, Floats]: ...
    def run_sequence(self, blobs: Iterable[Any], taps: Sequence[int] | None = None) -> list[Floats] | dict[int, Floats]:
        """Run on one blob after the other, from where the session is.

        Parameters
        ----------
        blobs : iterable of ndarray, such as one of shape (T, C, H, W)
            Each as for `run`; of several streams (T, N, C, H, W).
        taps : sequence of int, optional
            As for `run`.

        Returns
        -------
        list of ndarray or dict of int to ndarray
            As of `run`, with an axis T before all others.

        Raises
        ------
        OptionError
            As by `run`; or there are no blobs.

        Examples
        --------
        >>> session = network.session()
        >>> outputs = session.run_sequence(np.eye(96, dtype=np.float32)[[40, 73, 0]])[0]  # "Hi "
        >>> session.run(blob)  # goes on after the third
        >>> session.reset()  # the next one is the first again
        """
        try:
            steps = iter(blobs)
        except TypeError:
            raise OptionError(f"blobs={short(blobs)}: expected an array or a list of blobs, one a step") from None
        if taps is None:
            outputs = [self.run(blob) for blob in steps]
            if outputs:
                return [np.stack(column) for column in zip(*outputs, strict=True)]
        else:
            tapped = [self.run(blob, taps) for blob in steps]
            if tapped:
                return {tap: np.stack([one[tap] for one in tapped]) for tap in tapped[0]}
        raise OptionError("a sequence of no blobs: expected at least one")

    def check(self, network: Network, images: int) -> None:
        """Raise OptionError unless this is a session for a run of that network on so many images."""
        if self.network is not network:
            raise OptionError(f"a session of {self.network!r} for a run of {network!r}: make one by its session()")
        if self.images != images:
            raise OptionError(
                f"a session that follows {self.images} images, for a run of {images}: expected as many in every run"
            )

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Let nobody else run it within the block.

        Raises
        ------
        OptionError
            Somebody does.
        """
        if not self._running.acquire(blocking=False):
            raise OptionError("this session is at work in another thread: make one for each stream of pictures")
        try:
            yield
        finally:
            self._running.release()

    def put_into(self, state: State, first: int) -> None:
        """What the streams from `first` on remember, to where a run's steps look for it."""
        for key, arrays in state.lasting.items():
            for image, array in enumerate(arrays):
                array[:] = self.lasting[key][first + image]

    def take_from(self, state: State, first: int) -> None:
        """What a run left of it."""
        for key, arrays in state.lasting.items():
            for image, array in enumerate(arrays):
                self.lasting[key][first + image] = array


def forget(state: State) -> None:
    """Let a run find what there is before the first one."""
    for arrays in state.lasting.values():
        for array in arrays:
            array[:] = 0
