"""Where a picture lies in the network's input: the decoder undoes what preparing the blob did."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from darknet_py.errors import ImageError, OptionError

__all__ = ["Geometry"]


@dataclass(frozen=True)
class Geometry:
    """Where an image lies in the network's input, and the way back.

    Parameters
    ----------
    image_width, image_height : int
        Size of the image given, in pixels.
    net_width, net_height : int
        Size of the network's input, in pixels.
    letterbox : bool
        Whether the image keeps its aspect ratio on a grey canvas; otherwise it is stretched over the whole input.
    frame : float
        Width of a grey frame around the image, in which it lies smaller: as a share of the image's sides, at each of
        them. As in Darknet's letterbox the canvas is filled from the middle, here by an even number of pixels.
    """

    image_width: int
    image_height: int
    net_width: int
    net_height: int
    letterbox: bool = False
    frame: float = 0.0

    def __post_init__(self) -> None:
        if min(self.image_width, self.image_height) < 1:
            raise ImageError(f"image of {self.image_width}x{self.image_height} pixels, expected at least 1x1")
        if min(self.net_width, self.net_height) < 1:
            raise OptionError(f"network input of {self.net_width}x{self.net_height} pixels, expected at least 1x1")
        if not 0 <= self.frame <= 10:
            raise OptionError(f"frame={self.frame!r}: expected a share of the image's sides from 0 to 10")

    @property
    def fills(self) -> bool:
        """Whether the picture covers the whole input, so that fractions of the one are those of the other."""
        return not self.letterbox and not self.frame

    def _inside(self, net: int) -> int:
        """What a frame leaves of a side of the input: as even or odd as that is, so that the picture is centred."""
        if not self.frame:
            return net
        return max(2 - net % 2, net - 2 * round(net * self.frame / (1 + 2 * self.frame)))

    def _width_bound(self) -> bool:
        # In float32 like letterbox_image(): near a tie it decides which side is rounded down.
        across = np.float32(self._inside(self.net_width)) / np.float32(self.image_width)
        down = np.float32(self._inside(self.net_height)) / np.float32(self.image_height)
        return bool(across < down)

    @property
    def new_width(self) -> int:
        """Width of the picture inside the network's input, in pixels (at least 1, where Darknet can reach 0)."""
        if not self.letterbox or self._width_bound():
            return self._inside(self.net_width)
        return max(1, self.image_width * self._inside(self.net_height) // self.image_height)

    @property
    def new_height(self) -> int:
        """Height of the picture inside the network's input, in pixels (at least 1, where Darknet can reach 0)."""
        if self.letterbox and self._width_bound():
            return max(1, self.image_height * self._inside(self.net_width) // self.image_width)
        return self._inside(self.net_height)

    @property
    def left(self) -> int:
        """Column of the network's input where the picture begins."""
        return (self.net_width - self.new_width) // 2

    @property
    def top(self) -> int:
        """Row of the network's input where the picture begins."""
        return (self.net_height - self.new_height) // 2

    def to_image(self, cxcywh: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Boxes relative to the network's input to boxes relative to the image.

        Matches ``correct_yolo_boxes`` of Darknet, which centres the picture exactly even where the canvas is odd and
        the pasted picture lies half a pixel beside that.

        Parameters
        ----------
        cxcywh : array_like, shape (..., 4)
            Centre and size, as fractions of the network's input.

        Returns
        -------
        ndarray, shape (..., 4), float32
            Centre and size, as fractions of the image.
        """
        boxes = np.array(cxcywh, np.float32)
        offset, ratio = self._placement()
        with np.errstate(over="ignore"):  # a box may be near infinite: exp() of anything, or a head without logistic
            boxes[..., :2] = (boxes[..., :2].astype(np.float64) - offset) / ratio
            boxes[..., 2:] *= np.float32(1) / ratio
        return boxes

    def to_net(self, cxcywh: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Boxes (..., 4) relative to the image to boxes relative to the network's input: inverse of ``to_image``."""
        boxes = np.array(cxcywh, np.float32)
        offset, ratio = self._placement()
        boxes[..., :2] = boxes[..., :2].astype(np.float64) * ratio + offset
        boxes[..., 2:] *= ratio
        return boxes

    def _placement(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
        net = np.array([self.net_width, self.net_height], np.float64)
        new = np.array([self.new_width, self.new_height], np.float64)
        return (net - new) / 2 / net, (new / net).astype(np.float32)
