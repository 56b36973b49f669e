"""``cv2.dnn.DetectionModel``, ``ClassificationModel`` and what they have in common, for Darknet networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from darknet_py.boxes.kernels.region_rows import best_classes
from darknet_py.errors import OptionError, UnsupportedError
from darknet_py.find_cv2 import need_cv2
from darknet_py.opencv.failure import as_cv2_errors
from darknet_py.opencv.net import Net
from darknet_py.opencv.patch import original
from darknet_py.opencv.reading import is_darknet, readNet

__all__ = ["ClassificationModel", "DetectionModel", "Model"]

Self = TypeVar("Self", bound="Model")

#: What nothing found looks like.
Nothing = tuple[()]


class Model:
    """``cv2.dnn.Model``: a net, with what is done to a frame before it; every setter returns the model."""

    def __new__(cls, *arguments: Any, **named: Any) -> Any:
        # In cv2.dnn this class stands in for OpenCV's own, which models of other frameworks get.
        first = arguments[0] if arguments else named.get("network", named.get("model"))
        if isinstance(first, Net) or is_darknet(first, *arguments[1:2], **_config_of(named)):
            return super().__new__(cls)
        return original(cls.__name__)(*arguments, **named)

    @as_cv2_errors
    def __init__(self, model: Any = None, config: Any = "", network: Net | None = None) -> None:
        if network is None:
            network = model if isinstance(model, Net) else readNet(model, config)
        self._net: Net = network
        self._size = (network.graph.blob.w, network.graph.blob.h)
        self._scale: Any = 1.0
        self._mean: Any = (0, 0, 0, 0)
        self._swaps = False
        self._crops = False

    def setInputParams(
        self: Self,
        scale: float = 1.0,
        size: Any = None,
        mean: Any = (0, 0, 0, 0),
        swapRB: bool = False,
        crop: bool = False,
    ) -> Self:
        if size is not None:
            self.setInputSize(size)
        self._scale, self._mean, self._swaps, self._crops = scale, mean, bool(swapRB), bool(crop)
        return self

    @as_cv2_errors
    def setInputSize(self: Self, *size: Any) -> Self:
        """(width, height) as one tuple or two numbers; one number for both. The cfg's by default."""
        sides = np.atleast_1d(np.asarray(size[0] if len(size) == 1 else size))
        if sides.ndim != 1 or len(sides) not in (1, 2) or sides.dtype.kind not in "iu" or sides.min() < 1:
            raise OptionError(f"setInputSize{size}: expected width and height in pixels, such as (416, 416)")
        self._size = int(sides[0]), int(sides[-1])
        return self

    def setInputScale(self: Self, scale: Any) -> Self:
        self._scale = scale
        return self

    def setInputMean(self: Self, mean: Any) -> Self:
        self._mean = mean
        return self

    def setInputSwapRB(self: Self, swapRB: bool) -> Self:
        self._swaps = bool(swapRB)
        return self

    def setInputCrop(self: Self, crop: bool) -> Self:
        self._crops = bool(crop)
        return self

    def setOutputNames(self: Self, outNames: Any) -> Self:
        """Accepted: the outputs are the network's."""
        return self

    def setPreferableBackend(self: Self, backendId: int) -> Self:
        self._net.setPreferableBackend(backendId)
        return self

    def setPreferableTarget(self: Self, targetId: int) -> Self:
        self._net.setPreferableTarget(targetId)
        return self

    def enableWinograd(self: Self, useWinograd: bool) -> Self:
        return self

    @as_cv2_errors
    def predict(self, frame: Any) -> tuple[NDArray[np.float32], ...]:
        """The network's outputs for a frame."""
        cv2: Any = need_cv2("DetectionModel and ClassificationModel")
        scales = np.atleast_1d(np.asarray(self._scale, np.float64))
        # As OpenCV reads it: the first number is that of all channels, unless others are given too.
        together = float(scales[0]) if not scales[1:].any() else 1.0
        blob = cv2.dnn.blobFromImage(_pixels(frame), together, self._size, self._mean, self._swaps, self._crops)
        if scales[1:].any():
            blob *= scales[: blob.shape[1], None, None].astype(np.float32)
        self._net.setInput(blob)
        return self._net.forward(self._net.getUnconnectedOutLayersNames())  # type: ignore[no-any-return]


class DetectionModel(Model):
    """``cv2.dnn.DetectionModel``: of (cfg, weights), of (weights, cfg), or of a net of `readNetFromDarknet`."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._across_classes = False
        self._net.leave_suppression()

    def setNmsAcrossClasses(self, value: bool) -> DetectionModel:
        self._across_classes = bool(value)
        return self

    def getNmsAcrossClasses(self) -> bool:
        return self._across_classes

    @as_cv2_errors
    def detect(
        self, frame: Any, confThreshold: float = 0.5, nmsThreshold: float = 0.0
    ) -> tuple[NDArray[np.int32] | Nothing, NDArray[np.float32] | Nothing, NDArray[np.int32] | Nothing]:
        """Objects in a frame.

        Parameters
        ----------
        frame : ndarray or UMat
        confThreshold : float
            Boxes whose likeliest class is less likely are left out.
        nmsThreshold : float
            IoU above which the less likely of two boxes of a class goes; 0 keeps all.

        Returns
        -------
        classIds, confidences, boxes
            Arrays (n,) int32, (n,) float32, (n, 4) int32 of left, top, width, height in pixels, clipped as OpenCV does:
            the corner first, then the size. Three empty tuples where nothing is found.
        """
        pixels = _pixels(frame)
        outputs = self.predict(pixels)
        if not self._net.graph.heads:
            raise UnsupportedError(f"{self._net.graph.file}: no detection head; use ClassificationModel or Net")
        height, width = pixels.shape[:2]
        parts = [_pick(rows, confThreshold, width, height) for rows in outputs if rows.ndim == 2]
        class_id, confidence, boxes = (np.concatenate(column) for column in zip(*parts, strict=True))
        if nmsThreshold:
            kept = self._suppress(class_id, confidence, boxes, confThreshold, nmsThreshold)
            class_id, confidence, boxes = class_id[kept], confidence[kept], boxes[kept]
        return (class_id, confidence, boxes) if len(class_id) else ((), (), ())

    def _suppress(
        self,
        class_id: NDArray[np.int32],
        confidence: NDArray[np.float32],
        boxes: NDArray[np.int32],
        conf: float,
        nms: float,
    ) -> NDArray[np.int64]:
        """Which to keep, in OpenCV's order: class by class, or with suppression across classes all together."""
        groups = [np.arange(len(class_id))]
        if not self._across_classes:
            groups = [np.flatnonzero(class_id == one) for one in np.unique(class_id)]
        suppress: Callable[..., Any] = original("NMSBoxes")
        kept = [
            group[np.asarray(suppress(boxes[group].tolist(), confidence[group].tolist(), conf, nms), np.int64)]
            for group in groups
            if len(group)
        ]
        return np.concatenate([np.empty(0, np.int64), *kept])


class ClassificationModel(Model):
    """``cv2.dnn.ClassificationModel``: of what `DetectionModel` takes."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._softmax = False

    def setEnableSoftmaxPostProcessing(self, enable: bool) -> ClassificationModel:
        self._softmax = bool(enable)
        return self

    def getEnableSoftmaxPostProcessing(self) -> bool:
        return self._softmax

    @as_cv2_errors
    def classify(self, frame: Any) -> tuple[int, float]:
        """Index and confidence of the likeliest class."""
        outputs = self.predict(frame)
        if len(outputs) != 1:
            raise UnsupportedError(f"{self._net.graph.file}: {len(outputs)} outputs, expected one for a classifier")
        values = outputs[0].ravel()
        if self._softmax:
            powers = np.exp(values - values.max())
            values = powers / powers.sum()
        best = int(values.argmax())
        return best, float(values[best])


def _pixels(frame: Any) -> Any:
    """The frame as an array; a UMat is copied out of wherever it is."""
    return frame.get() if hasattr(frame, "get") else frame


def _config_of(named: dict[str, Any]) -> dict[str, Any]:
    return {"config": named["config"]} if "config" in named else {}


def _pick(
    rows: NDArray[np.float32], conf: float, width: int, height: int
) -> tuple[NDArray[np.int32], NDArray[np.float32], NDArray[np.int32]]:
    """Class, confidence and clipped box of the rows whose likeliest class reaches `conf`."""
    picked, class_id = np.empty(len(rows), np.int64), np.empty(len(rows), np.int32)
    confidence = np.empty(len(rows), np.float32)
    count = best_classes(rows, conf, picked, class_id, confidence)
    # float32 pixels, cut to whole numbers one by one, halves of those rounded towards zero: as the C++ does it.
    with np.errstate(invalid="ignore"):
        pixels = rows[picked[:count], :4] * np.array([width, height, width, height], np.float32)
        whole = np.clip(pixels, -(1 << 31), (1 << 31) - 256).astype(np.int64)
    size = whole[:, 2:]
    corner = np.clip(whole[:, :2] - np.sign(size) * (np.abs(size) // 2), 0, [width - 1, height - 1])
    size = np.maximum(1, np.minimum(size, [width, height] - corner))
    return class_id[:count], confidence[:count], np.concatenate((corner, size), axis=1).astype(np.int32)
