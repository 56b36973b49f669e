"""From pictures, or a prepared blob, to detections: resizing, the network, decoding and selection in a row."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from darknet_py.boxes.decode import Candidates, decode, join
from darknet_py.boxes.detections import Detections
from darknet_py.boxes.selection import Selection, select
from darknet_py.boxes.whole_pixels import whole_pixels
from darknet_py.errors import OptionError, UnsupportedError
from darknet_py.network import MOST_TOGETHER, Network
from darknet_py.nms_kinds import DEFAULT_KIND
from darknet_py.pictures.blob import begin_blob
from darknet_py.pictures.geometry import Geometry
from darknet_py.pictures.load import Picture
from darknet_py.pictures.looks import FRAME, ONCE
from darknet_py.pictures.resizing import Resizing
from darknet_py.planes import write_pixels
from darknet_py.session import Session

__all__ = ["Pipeline"]

_log = logging.getLogger(__name__)

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Pipeline:
    """A network with all that its pictures' boxes depend on.

    Attributes
    ----------
    network : Network
        With at least one head.
    names : tuple of str
        One per class.
    letterbox : bool
        Whether pictures keep their aspect ratio.
    like : str
        One of ``LIKES``. All but "darknet" suppress by plain IoU, whatever the cfg says.
    looks : tuple of str
        Some of ``LOOKS``: what all of them show of a picture is brought together before NMS.
    doubled : Network or None
        The network at twice the size of its input, for the look of that name.
    """

    network: Network
    names: tuple[str, ...]
    letterbox: bool
    like: str
    looks: tuple[str, ...] = ONCE
    doubled: Network | None = None

    def __post_init__(self) -> None:
        heads = self.network.heads
        if self.letterbox and any(head.kind == "detection" for head in heads):
            _log.warning(
                "%s: boxes of a letterboxed picture stay where they are on its canvas, as Darknet leaves those of "
                "[detection]: such networks are trained on pictures that fill the input; leave letterbox off",
                self.network.graph.file,
            )

    @property
    def channels(self) -> int:
        """Channels that a picture is read with; UnsupportedError if no picture has so many."""
        graph = self.network.graph
        if graph.no_pictures:
            raise UnsupportedError(f"{graph.file}: {graph.no_pictures}: prepare a blob for detect_blob")
        return graph.blob.c

    @cached_property
    def classes(self) -> int:
        """How many probabilities a box has."""
        return max(int(getattr(head, "classes", 0)) for head in self.network.heads)

    def detect_pictures(
        self, pictures: Sequence[Picture], wanted: Selection, session: Session | None = None
    ) -> list[Detections]:
        """What is in each of some pictures, computed together; of a session, one for each of its streams."""
        found = self.candidates(pictures, wanted, session)
        geometries = (self._whole(picture) for picture in pictures)
        return [self.detections(one, geometry) for one, geometry in zip(found, geometries, strict=True)]

    def candidates(
        self, pictures: Sequence[Picture], wanted: Selection, session: Session | None = None
    ) -> list[Candidates]:
        """The same, as boxes with the probabilities of all classes that are wanted and were not suppressed."""
        thresh = wanted.lowest_thresh
        shown = [(picture, view) for picture in pictures for view in self._views(picture)]
        looked = iter(self._looked(self.network, shown, thresh, session))
        views = len(shown) // max(1, len(pictures))
        found = [list(islice(looked, views)) for _ in pictures]
        if self.doubled is not None:
            shown = [(picture, self._whole(picture, self.doubled)) for picture in pictures]
            for parts, part in zip(found, self._looked(self.doubled, shown, thresh), strict=True):
                parts.append(part)
        return [
            self.chosen(join(parts), self._whole(picture), wanted)
            for parts, picture in zip(found, pictures, strict=True)
        ]

    def _views(self, picture: Picture) -> list[Geometry]:
        """How the picture lies in the network's input, look by look, but for that at double size."""
        whole = self._whole(picture)
        views = {"frame": replace(whole, frame=FRAME), "whole": whole}
        return [view for look, view in views.items() if look in self.looks]

    def _looked(
        self,
        network: Network,
        shown: Sequence[tuple[Picture, Geometry]],
        thresh: float,
        session: Session | None = None,
    ) -> list[Candidates]:
        """What is in pictures, as they lie in the input of a network, before NMS; some at a time, computed together."""
        if session is not None:
            return self._remembering(shown, thresh, session)
        found: list[Candidates] = []
        for first in range(0, len(shown), MOST_TOGETHER):
            some = shown[first : first + MOST_TOGETHER]
            fill = partial(_fill, some, like=self.like)
            found += self._run(network, [view for _, view in some], fill, thresh)
        return found

    def _remembering(
        self, shown: Sequence[tuple[Picture, Geometry]], thresh: float, session: Session
    ) -> list[Candidates]:
        """The same by a network that remembers the pictures before: as many as the session has streams."""
        if self.looks != ONCE:
            raise OptionError(
                f"a session with looks={self.looks}: a stream is remembered as it was shown, looks='whole'"
            )
        session.check(self.network, len(shown))
        with session.in_use():
            fill = partial(_fill, shown, like=self.like)
            return self._run(self.network, [view for _, view in shown], fill, thresh, session)

    def detections(self, found: Candidates, geometry: Geometry) -> Detections:
        """Entries of boxes, named."""
        return Detections.from_candidates(found, self.names, geometry)

    def detect_blob(self, blob: Floats, image_size: tuple[int, int], wanted: Selection) -> Detections:
        """What is in a picture of that size, of which a blob (C, H, W) was made."""

        def fill(blobs: Sequence[Floats]) -> list[Resizing]:
            write_pixels(blob, blobs[0])
            return []

        geometry = self.geometry(*image_size)
        found = self._run(self.network, [geometry], fill, wanted.lowest_thresh)[0]
        return self.detections(self.chosen(found, geometry, wanted), geometry)

    def _whole(self, picture: Picture, network: Network | None = None) -> Geometry:
        return self.geometry(picture.pixels.shape[1], picture.pixels.shape[0], network)

    def geometry(self, width: int, height: int, network: Network | None = None) -> Geometry:
        """How a picture of that size lies in the input of the network, or of another than the one of plain looks."""
        _, net_h, net_w = (network or self.network).graph.blob
        return Geometry(width, height, net_w, net_h, self.letterbox)

    def looking_once(self) -> Pipeline:
        """The same with a single look, as Darknet does it."""
        return self if self.looks == ONCE else replace(self, looks=ONCE, doubled=None)

    def _run(
        self,
        network: Network,
        geometries: Sequence[Geometry],
        fill: Callable[[Sequence[Floats]], list[Resizing]],
        thresh: float,
        session: Session | None = None,
    ) -> list[Candidates]:
        """Run a batch whose blobs (H, W, C) `fill` writes, but for resizes; boxes in the pictures of `geometries`."""
        state = network.acquire(len(geometries))
        network.forward(state, fill(state.blobs), session)
        found = [
            decode([(head, state.output(head.index, n)) for head in network.heads], geometry, thresh)
            for n, geometry in enumerate(geometries)
        ]
        network.release(state)
        return found

    @cached_property
    def _hidden(self) -> tuple[int, ...]:
        """Classes whose name begins with ``dont_show``, which Darknet's program neither counts nor shows."""
        if self.like != "darknet":
            return ()
        return tuple(number for number, name in enumerate(self.names) if name.startswith("dont_show"))

    def chosen(self, found: Candidates, geometry: Geometry, wanted: Selection) -> Candidates:
        """The boxes that stay after NMS and are wanted."""
        if self._hidden:
            found.probs[:, self._hidden] = 0  # before the likeliest class of a box is looked for
        boxes = self._compared(found, geometry, wanted)
        last = self.network.heads[-1]
        kind = last.nms_kind if self.like == "darknet" else DEFAULT_KIND
        return select(found, wanted, kind=kind, beta=last.beta_nms, boxes=boxes)

    def _compared(self, found: Candidates, geometry: Geometry, wanted: Selection) -> Floats | None:
        """What NMS compares in place of the boxes found, where programs for OpenCV compare something else."""
        if self.like != "opencv" or not (wanted.single_class or wanted.agnostic):
            return None
        size = geometry.image_width, geometry.image_height
        return whole_pixels(found.cxcywh, *size, inside=not wanted.agnostic)


def _fill(shown: Sequence[tuple[Picture, Geometry]], blobs: Sequence[Floats], *, like: str) -> list[Resizing]:
    begun = (
        begin_blob(pixels, geometry, blob, like=like, reverses=reverses)
        for ((pixels, reverses), geometry), blob in zip(shown, blobs, strict=True)
    )
    return [resizing for resizing in begun if resizing is not None]
