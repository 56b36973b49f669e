"""From pictures to batches: which distortions befall picture k of iteration t, and batches made ahead of time.

Every picture has a random generator of its own, seeded by (seed, iteration, place in the batch): batches do not depend
on what was made before, so a stopped training continues with the batches it would have had.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import cv2
import numpy as np
from numpy.typing import NDArray

from darknet_py.errors import OptionError
from training.augment.cutmix import paste, random_rectangle
from training.augment.geometric import SMALLEST, VISIBLE, Size, View, random_view, warp
from training.augment.mosaic import mosaic, quadrants, random_centre, through_window
from training.augment.photometric import add_noise, blur, blur_background, random_colours, recolour
from training.sample import Sample

__all__ = ["AugmentOptions", "Pipeline", "Samples", "to_batch"]

#: float32 (n, 3, H, W), RGB, 0..1, and float32 (m, 6): image in the batch, class, cx, cy, w, h.
Batch = tuple[NDArray[np.float32], NDArray[np.float32]]


class Samples(Protocol):
    """Pictures by number; `training.datafile.ImageList` is one."""

    def __len__(self) -> int: ...

    def sample(self, index: int) -> Sample: ...


@runtime_checkable
class _ReducedSamples(Protocol):
    """Pictures that can be had smaller, and faster, where they will be shrunk anyway."""

    def sample_at_least(self, index: int, size: tuple[float, float]) -> Sample: ...


@dataclass(frozen=True)
class AugmentOptions:
    """How much pictures are distorted; names and meanings of Darknet's cfg unless said otherwise.

    Parameters
    ----------
    jitter, resize, flip, angle
        Geometry, see `training.augment.geometric.random_view`. 0, 1, 0, 0 do nothing.
    perspective : float
        Not in Darknet: strength of shear and perspective, at most 0.25.
    hue, saturation, exposure
        Colours, see `training.augment.photometric.random_colours`. 0, 1, 1 do nothing.
    contrast, grey : float
        Not in Darknet: most contrast (from 1), and the chance of a picture without colour.
    blur : int
        Kernel in pixels; 0 is off. A third of the pictures stays sharp, a third is blurred outside its boxes, and a
        third all over, with at most an eighth of the shortest side of a box.
    gaussian_noise : float
        Every second picture has noise, of a standard deviation of up to this many grey levels.
    mosaic : float
        Chance that four pictures make one. Darknet's ``mosaic=1`` is 0.5 here: it tosses a coin for each batch.
    mosaic_bound : bool
        Boxes end with their quarter of a mosaic.
    mosaic_zoom : float
        Not in Darknet: pictures in a mosaic are drawn at 1 to this many times the size they have alone; 1 is Darknet.
    cutmix : float
        Chance that a rectangle of another picture is pasted in. Darknet has it for classifiers only.
    smallest, visible : float
        Not in Darknet: boxes below this many pixels, or this visible fraction, are dropped.
    reduce : bool
        Read pictures that will be drawn at half their size or less already shrunk, where the source can.

    Raises
    ------
    OptionError
        A value outside what it means.
    """

    jitter: float = 0.2
    resize: float = 1.0
    flip: int = 0
    angle: float = 0.0
    perspective: float = 0.0
    hue: float = 0.1
    saturation: float = 1.5
    exposure: float = 1.5
    contrast: float = 1.0
    blur: int = 0
    gaussian_noise: float = 0.0
    grey: float = 0.0
    mosaic: float = 0.0
    mosaic_bound: bool = True
    mosaic_zoom: float = 1.0
    cutmix: float = 0.0
    smallest: float = SMALLEST
    visible: float = VISIBLE
    reduce: bool = True

    def __post_init__(self) -> None:
        ranges = {
            "jitter": (0, 0.5), "resize": (0.1, 10), "flip": (0, 1), "angle": (0, 45), "perspective": (0, 0.25),
            "hue": (0, 0.5), "saturation": (1, 100), "exposure": (1, 100), "contrast": (1, 100), "blur": (0, 255),
            "gaussian_noise": (0, 127), "grey": (0, 1), "mosaic": (0, 1), "mosaic_zoom": (0.01, 1), "cutmix": (0, 1),
            "smallest": (0, 1e6), "visible": (0, 1),
        }  # fmt: skip
        for name, (low, high) in ranges.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise OptionError(f"{name} = {value}, expected {low} to {high}")
        # The part of a picture that jitter and resize leave at the least; the magnification is its inverse.
        left = 1 / max(self.resize, 1.0) - 2 * self.jitter
        if left < 0.05:
            raise OptionError(
                f"jitter = {self.jitter} with resize = {self.resize} leaves {max(left, 0):.0%} of a picture's side, "
                "expected 5% or more: lower one of them"
            )


class Pipeline:
    """Endless, reproducible batches of distorted pictures.

    Parameters
    ----------
    images : Samples
        At least one.
    options : AugmentOptions
    seed : int
        Not negative.

    Raises
    ------
    OptionError
        No images, or a negative seed.
    """

    def __init__(self, images: Samples, options: AugmentOptions, seed: int) -> None:
        if not len(images):
            raise OptionError("no images, expected at least one")
        if seed < 0:
            raise OptionError(f"seed = {seed}, expected 0 or more")
        self._images = images
        self._options = options
        self._seed = seed

    def batch(self, iteration: int, size: Size, count: int) -> Batch:
        """The batch of one iteration.

        Parameters
        ----------
        iteration : int
            From 0.
        size : (int, int)
            Width and height of the network's input, in pixels.
        count : int
            Pictures in the batch.

        Returns
        -------
        images : float32 array (count, 3, height, width)
            RGB, 0..1, contiguous.
        truth : float32 array (m, 6)
            Image in the batch, class, cx, cy, w, h; boxes relative to the image, 0..1.
        """
        return to_batch([self.picture(iteration, place, size) for place in range(count)])

    def picture(self, iteration: int, place: int, size: Size) -> Sample:
        """One picture of a batch, before it becomes float."""
        options = self._options
        rng = np.random.default_rng((self._seed, iteration, place))
        sample = self._mosaic(rng, size) if rng.random() < options.mosaic else self._single(rng, size)
        if rng.random() < options.cutmix:
            other = self._single(rng, size)
            rectangle = random_rectangle(rng, size)
            sample = paste(sample, other, rectangle, visible=options.visible, smallest=options.smallest)
        return sample._replace(image=self._finish(rng, sample))

    def stream(self, schedule: Iterable[tuple[int, Size]], count: int, ahead: int = 3) -> Generator[Batch, None, None]:
        """Batches in the order of a schedule, made ahead by one thread (OpenCV and NumPy let others run meanwhile).

        Closing the iterator, or leaving it by an error, ends the thread after the batch it is at.

        Parameters
        ----------
        schedule : iterable of (int, (int, int))
            Iteration and input size; read `ahead` items in advance, in the caller's thread.
        count : int
            Pictures in a batch.
        ahead : int
            Batches that may wait.

        Yields
        ------
        images, truth
            As from `batch`. What went wrong in the thread is raised here, in the batch's turn.
        """
        waiting: deque[Future[Batch]] = deque()
        worker = ThreadPoolExecutor(1, thread_name_prefix="augment")
        try:
            for iteration, size in schedule:
                waiting.append(worker.submit(self.batch, iteration, size, count))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            worker.shutdown(cancel_futures=True)

    def _single(self, rng: np.random.Generator, size: Size) -> Sample:
        options = self._options
        view = self._view(rng, size)
        sample = warp(self._read(rng, view), view, size, visible=options.visible, smallest=options.smallest)
        return sample._replace(image=self._recolour(rng, sample.image))

    def _mosaic(self, rng: np.random.Generator, size: Size) -> Sample:
        options = self._options
        centre = random_centre(rng, size)
        regions = quadrants(centre, size)
        views = [through_window(rng, self._view(rng, size), region, size, options.mosaic_zoom) for region in regions]
        sample = mosaic(
            [self._read(rng, view) for view in views],
            views,
            centre,
            size,
            mosaic_bound=options.mosaic_bound,
            visible=options.visible,
            smallest=options.smallest,
        )
        for left, top, right, bottom in regions:
            part = sample.image[top:bottom, left:right]
            part[...] = self._recolour(rng, part)
        return sample

    def _view(self, rng: np.random.Generator, size: Size) -> View:
        options = self._options
        return random_view(
            rng,
            size,
            jitter=options.jitter,
            resize=options.resize,
            flip=bool(options.flip),
            angle=options.angle,
            perspective=options.perspective,
        )

    def _read(self, rng: np.random.Generator, view: View) -> Sample:
        index = int(rng.integers(len(self._images)))
        if self._options.reduce and isinstance(self._images, _ReducedSamples):
            return self._images.sample_at_least(index, view.drawn)
        return self._images.sample(index)

    def _recolour(self, rng: np.random.Generator, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        options = self._options
        colours = random_colours(
            rng,
            hue=options.hue,
            saturation=options.saturation,
            exposure=options.exposure,
            contrast=options.contrast,
            grey=options.grey,
        )
        return recolour(image, colours)

    def _finish(self, rng: np.random.Generator, sample: Sample) -> NDArray[np.uint8]:
        """Blur, then noise: the order of lens and sensor."""
        options = self._options
        image = sample.image
        kind = rng.integers(3)
        if options.blur and kind == 1:
            image = blur_background(sample)
        elif options.blur and kind == 2:
            shortest = (sample.xyxy[:, 2:] - sample.xyxy[:, :2]).min(initial=np.inf)
            image = blur(image, int(min(options.blur, shortest / 8)))
        deviation = rng.uniform(0, options.gaussian_noise)
        if options.gaussian_noise and rng.integers(2):
            image = add_noise(image, rng, deviation)
        return image


def to_batch(samples: list[Sample]) -> Batch:
    """Samples of one size as the network and the loss take them; shapes as in `Pipeline.batch`."""
    height, width = samples[0].image.shape[:2]
    images = np.empty((len(samples), 3, height, width), np.float32)
    truth = [np.empty((0, 6), np.float32)]
    for place, sample in enumerate(samples):
        for plane, channel in zip(images[place], reversed(cv2.split(sample.image)), strict=True):
            np.multiply(channel, np.float32(1 / 255), out=plane)
        low, high = sample.xyxy[:, :2], sample.xyxy[:, 2:]
        rows = np.column_stack((np.full(len(low), place), sample.class_id, (low + high) / 2, high - low))
        truth.append(rows / np.array([1, 1, width, height, width, height]))
    return images, np.concatenate(truth).astype(np.float32)
