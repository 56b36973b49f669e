"""From pictures, or a prepared blob, to detections: resizing, the network, decoding and selection in a row."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from darknet_py.boxes.decode import Candidates, decode
from darknet_py.boxes.detections import Detections
from darknet_py.boxes.selection import Selection, select
from darknet_py.boxes.whole_pixels import whole_pixels
from darknet_py.errors import UnsupportedError
from darknet_py.network import Network
from darknet_py.nms_kinds import DEFAULT_KIND
from darknet_py.pictures.blob import begin_blob
from darknet_py.pictures.geometry import Geometry
from darknet_py.pictures.load import Picture
from darknet_py.pictures.resizing import Resizing
from darknet_py.plan.state import State
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
    """

    network: Network
    names: tuple[str, ...]
    letterbox: bool
    like: str

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
        if graph.blob.c not in (1, 3, 4):
            raise UnsupportedError(
                f"{graph.file}: channels={graph.blob.c}, but pictures have 1, 3 or 4: prepare a blob for detect_blob"
            )
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
        return [self.detections(one, self._geometry_of(picture)) for one, picture in zip(found, pictures, strict=True)]

    def candidates(
        self, pictures: Sequence[Picture], wanted: Selection, session: Session | None = None
    ) -> list[Candidates]:
        """The same, as boxes with the probabilities of all classes that are wanted and were not suppressed."""
        geometries = [self._geometry_of(picture) for picture in pictures]

        def fill(blobs: Sequence[Floats]) -> list[Resizing]:
            begun = (
                begin_blob(pixels, geometry, blob, like=self.like, reverses=reverses)
                for (pixels, reverses), geometry, blob in zip(pictures, geometries, blobs, strict=True)
            )
            return [resizing for resizing in begun if resizing is not None]

        if session is None:
            return self._detect(geometries, fill, wanted)
        session.check(self.network, len(pictures))
        with session.in_use():
            return self._detect(geometries, fill, wanted, session)

    def detections(self, found: Candidates, geometry: Geometry) -> Detections:
        """Entries of boxes, named."""
        return Detections.from_candidates(found, self.names, geometry)

    def detect_blob(self, blob: Floats, image_size: tuple[int, int], wanted: Selection) -> Detections:
        """What is in a picture of that size, of which a blob (C, H, W) was made."""

        def fill(blobs: Sequence[Floats]) -> list[Resizing]:
            write_pixels(blob, blobs[0])
            return []

        geometry = self.geometry(*image_size)
        return self.detections(self._detect([geometry], fill, wanted)[0], geometry)

    def _geometry_of(self, picture: Picture) -> Geometry:
        return self.geometry(picture.pixels.shape[1], picture.pixels.shape[0])

    def geometry(self, width: int, height: int) -> Geometry:
        """How a picture of that size lies in the network's input."""
        _, net_h, net_w = self.network.graph.blob
        return Geometry(width, height, net_w, net_h, self.letterbox)

    def _detect(
        self,
        geometries: Sequence[Geometry],
        fill: Callable[[Sequence[Floats]], list[Resizing]],
        wanted: Selection,
        session: Session | None = None,
    ) -> list[Candidates]:
        """Run a batch whose blobs (H, W, C) `fill` writes, but for resizes; boxes in the pictures of `geometries`."""
        state = self.network.acquire(len(geometries))
        self.network.forward(state, fill(state.blobs), session)
        found = [self._decode(state, geometry, wanted.lowest_thresh, n) for n, geometry in enumerate(geometries)]
        self.network.release(state)
        return [self.chosen(one, geometry, wanted) for one, geometry in zip(found, geometries, strict=True)]

    def _decode(self, state: State, geometry: Geometry, thresh: float, image: int) -> Candidates:
        return decode([(head, state.output(head.index, image)) for head in self.network.heads], geometry, thresh)

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
