"""What was found in one image: parallel arrays, one entry per box and class, and the formats others read.

Last stage of the library; ``draw``, ``output`` and the command line take it from here. Field names are those of
supervision, so that its annotators and trackers accept the arrays as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple, SupportsIndex, TypeAlias

import numpy as np
import numpy.typing as npt

from darknet_py.arguments import as_integer
from darknet_py.errors import OptionError

if TYPE_CHECKING:
    import supervision as sv

    from darknet_py.boxes.decode import Candidates
    from darknet_py.pictures.geometry import Geometry

__all__ = ["Detection", "Detections"]

Index: TypeAlias = SupportsIndex | slice | Sequence[int] | Sequence[bool] | npt.NDArray[Any]


#: The parallel arrays of Detections and what they hold.
_ARRAYS: dict[str, type[np.generic]] = {
    "xyxy": np.float32,
    "confidence": np.float32,
    "class_id": np.int64,
    "class_names": np.str_,
    "objectness": np.float32,
}


class Detection(NamedTuple):
    """One entry of ``Detections``, as iterating gives it: plain Python numbers, corners in pixels."""

    class_id: int
    class_name: str
    confidence: float
    xyxy: tuple[float, float, float, float]


@dataclass(frozen=True, eq=False, repr=False)
class Detections:
    """Boxes found in one image, one entry per box and class above the threshold.

    A box likely to be of two classes is two entries, as in Darknet's JSON. The order is Darknet's.

    Attributes
    ----------
    xyxy : ndarray, shape (n, 4), float32
        Left, top, right, bottom in pixels of the image given; may reach beyond its border (see ``clipped``).
    confidence : ndarray, shape (n,), float32
        Probability of the class: objectness times class probability.
    class_id : ndarray, shape (n,), int64
    class_names : ndarray, shape (n,), str
    image_width, image_height : int
        Size of the image in pixels.
    objectness : ndarray, shape (n,), float32
        Probability that there is an object at all; equal for the entries of one box. 1 for [region] heads.
    """

    xyxy: npt.NDArray[np.float32]
    confidence: npt.NDArray[np.float32]
    class_id: npt.NDArray[np.int64]
    class_names: npt.NDArray[np.str_]
    image_width: int
    image_height: int
    objectness: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        for name, dtype in _ARRAYS.items():
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype))
        if self.xyxy.size == 0:
            object.__setattr__(self, "xyxy", self.xyxy.reshape(0, 4))
        n = len(self.xyxy)
        for name in _ARRAYS:
            expected = (n, 4) if name == "xyxy" else (n,)
            if getattr(self, name).shape != expected:
                raise OptionError(f"Detections: {name} has shape {getattr(self, name).shape}, expected {expected}")
        if self.image_width < 1 or self.image_height < 1:
            size = f"{self.image_width}x{self.image_height}"
            raise OptionError(f"Detections in an image of {size} pixels, expected at least 1x1")

    @classmethod
    def empty(cls, image_width: int, image_height: int) -> Detections:
        """Nothing found in an image of that size."""
        number = np.empty(0, np.float32)
        nobody = np.empty(0, np.str_)
        return cls(number.reshape(0, 4), number, np.empty(0, np.int64), nobody, image_width, image_height, number)

    @classmethod
    def from_candidates(cls, candidates: Candidates, names: Sequence[str], geometry: Geometry) -> Detections:
        """Every (box, class) of `candidates` that has a probability, in order, in pixels of the image.

        Parameters
        ----------
        candidates : Candidates
        names : sequence of str
            One per class.
        geometry : Geometry
            Says the size of the image.

        Raises
        ------
        OptionError
            Fewer names than classes.
        """
        classes = candidates.probs.shape[1]
        if len(names) < classes:
            raise OptionError(f"{len(names)} class names for {classes} classes: expected one name per class")
        count = np.count_nonzero(candidates.probs)
        xyxy, class_id = np.empty((count, 4), np.float32), np.empty(count, np.int64)
        confidence, objectness = np.empty(count, np.float32), np.empty(count, np.float32)
        if count:
            cxcywh, of_box, probs = (
                np.ascontiguousarray(array, np.float32)
                for array in (candidates.cxcywh, candidates.objectness, candidates.probs)
            )
            size = geometry.image_width, geometry.image_height
            from darknet_py.boxes.kernels.entries import fill_entries  # 1 s for who has entries already

            fill_entries(cxcywh, of_box, probs, *size, xyxy, confidence, class_id, objectness)
        return cls(
            xyxy=xyxy,
            confidence=confidence,
            class_id=class_id,
            class_names=np.asarray(names, np.str_)[class_id] if count else np.empty(0, np.str_),
            image_width=geometry.image_width,
            image_height=geometry.image_height,
            objectness=objectness,
        )

    def __len__(self) -> int:
        return len(self.xyxy)

    def __iter__(self) -> Iterator[Detection]:
        rows = zip(self.class_id, self.class_names, self.confidence, self.xyxy, strict=True)
        for class_id, class_name, confidence, (left, top, right, bottom) in rows:
            corners = (float(left), float(top), float(right), float(bottom))
            yield Detection(int(class_id), str(class_name), float(confidence), corners)

    def __getitem__(self, index: Index) -> Detections:
        """The entries an index, a slice, a mask or a list of indices picks, as Detections (of one for an int)."""
        if isinstance(index, SupportsIndex) and not (isinstance(index, np.ndarray) and index.ndim):
            at = index.__index__()
            index = np.arange(len(self))[at : at + 1 or None]
            if len(index) == 0:
                raise IndexError(f"detection {at} of {len(self)}")
        elif not isinstance(index, slice):
            index = np.asarray(index)
            if index.size == 0 and index.dtype != np.bool_:
                index = index.astype(np.int64)  # [] is float64
        arrays = {name: getattr(self, name)[index] for name in _ARRAYS}
        return replace(self, **arrays)

    def __eq__(self, other: object) -> bool:
        """Same image size and the same entries in the same order, to the last bit."""
        if not isinstance(other, Detections):
            return NotImplemented
        return (self.image_width, self.image_height) == (other.image_width, other.image_height) and all(
            np.array_equal(getattr(self, name), getattr(other, name)) for name in _ARRAYS
        )

    def __repr__(self) -> str:
        shown = [f"{found.class_name} {found.confidence:.0%}" for found in self[:8]]
        more = [f"{len(self) - 8} more"] if len(self) > 8 else []
        return f"Detections({self.image_width}x{self.image_height}: {', '.join(shown + more) or 'nothing'})"

    @property
    def xywh(self) -> npt.NDArray[np.float32]:
        """Left, top, width, height in pixels, (n, 4)."""
        near, far = self.xyxy[:, :2], self.xyxy[:, 2:]
        with np.errstate(invalid="ignore", over="ignore"):
            return np.concatenate((near, far - near), axis=1)

    @property
    def cxcywh(self) -> npt.NDArray[np.float32]:
        """Centre, width, height in pixels, (n, 4)."""
        near, far = self.xyxy[:, :2], self.xyxy[:, 2:]
        with np.errstate(invalid="ignore", over="ignore"):
            return np.concatenate(((near + far) / np.float32(2), far - near), axis=1)

    @property
    def relative_cxcywh(self) -> npt.NDArray[np.float32]:
        """Centre, width, height as fractions of the image, (n, 4): the numbers of Darknet's JSON and label files."""
        return np.divide(self.cxcywh, np.array((self.image_width, self.image_height) * 2, np.float32))

    def sorted(self) -> Detections:
        """The same with the most confident entry first; equally confident ones stay in their order."""
        return self[np.argsort(-self.confidence, kind="stable")]

    def clipped(self) -> Detections:
        """The same with every box cut at the border of the image."""
        border = np.array((self.image_width, self.image_height) * 2, np.float32)
        return replace(self, xyxy=np.clip(self.xyxy, 0, border))

    def counts(self) -> dict[str, int]:
        """How many entries each class has, by its name, in the order of class numbers; of those that have any."""
        counts: dict[str, int] = {}
        for at in np.argsort(self.class_id, kind="stable"):
            name = str(self.class_names[at])
            counts[name] = counts.get(name, 0) + 1
        return counts

    def to_darknet_json(self, filename: str | None, frame_id: int) -> dict[str, Any]:
        """The object Darknet's ``-out`` file has for one image.

        Parameters
        ----------
        filename : str or None
            As it shall appear; None leaves the key out, as Darknet does for video.
        frame_id : int
            Darknet counts from 1.
        """
        objects = [
            {
                "class_id": found.class_id,
                "name": found.class_name,
                "relative_coordinates": dict(zip(("center_x", "center_y", "width", "height"), box, strict=True)),
                "confidence": found.confidence,
            }
            for found, box in zip(self, self.relative_cxcywh.tolist(), strict=True)
        ]
        name = {} if filename is None else {"filename": filename}
        return {"frame_id": as_integer("frame_id", frame_id), **name, "objects": objects}

    def to_coco(
        self, image_id: int | str, category_ids: Sequence[int] | Mapping[int, int] | None = None
    ) -> list[dict[str, Any]]:
        """COCO results: ``image_id``, ``category_id``, ``bbox`` (left, top, width, height in pixels) and ``score``.

        Boxes are cut at the border of the image, as Darknet's ``valid`` does.

        Parameters
        ----------
        image_id : int or str
        category_ids : sequence or mapping of int, optional
            The category of each class; by default the class number itself. The 80 classes of COCO have category
            numbers with gaps.
        """
        if not isinstance(image_id, str):
            image_id = as_integer("image_id", image_id)
        return [
            {
                "image_id": image_id,
                "category_id": found.class_id if category_ids is None else int(category_ids[found.class_id]),
                "bbox": box,
                "score": found.confidence,
            }
            for found, box in zip(self, self.clipped().xywh.tolist(), strict=True)
        ]

    def to_yolo_txt(self, *, confidence: bool = False) -> str:
        """Label lines ``class centre_x centre_y width height``, fractions of the image with four decimals.

        One line per box with its likeliest class, as Darknet's ``-save_labels`` writes. Entries of one box are
        told by equal corners and objectness.

        Parameters
        ----------
        confidence : bool
            Add the confidence as a sixth column, as evaluation tools read it; Darknet's labels have none.
        """
        best: dict[bytes, int] = {}
        for i in range(len(self)):
            box = self.xyxy[i].tobytes() + self.objectness[i].tobytes()
            if box not in best or self.confidence[i] > self.confidence[best[box]]:
                best[box] = i
        relative = self.relative_cxcywh
        lines = []
        for i in best.values():
            numbers = [*relative[i], self.confidence[i]] if confidence else relative[i]
            lines.append(" ".join([str(self.class_id[i]), *(f"{number:2.4f}" for number in numbers)]) + "\n")
        return "".join(lines)

    def to_supervision(self) -> sv.Detections:
        """The same as ``supervision.Detections``, for its annotators, trackers, zones and sinks.

        Returns
        -------
        supervision.Detections
            With copies of ``xyxy``, ``confidence`` and ``class_id``, and the names as ``data["class_name"]``, where
            its label annotators look for them.

        Raises
        ------
        OptionError
            The package supervision is not installed.
        """
        try:
            import supervision as sv
        except ImportError as error:
            raise OptionError(
                f"to_supervision needs the package supervision ({error}): pip install supervision"
            ) from error
        return sv.Detections(
            xyxy=self.xyxy.copy(),
            confidence=self.confidence.copy(),
            class_id=self.class_id.copy(),
            data={"class_name": self.class_names.copy()},
        )

    def records(self) -> list[dict[str, Any]]:
        """One flat dict per entry, for CSV, a data frame or a database; corners in pixels."""
        return [
            {
                "class_id": found.class_id,
                "class_name": found.class_name,
                "confidence": found.confidence,
                "objectness": float(objectness),
                **dict(zip(("left", "top", "right", "bottom"), found.xyxy, strict=True)),
            }
            for found, objectness in zip(self, self.objectness, strict=True)
        ]
