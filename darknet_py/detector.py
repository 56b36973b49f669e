"""The face of it all: a model made ready, and what may be asked of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from functools import partial
from typing import Any, Literal, overload

from darknet_py.arguments import as_choice, as_flag
from darknet_py.boxes.detections import Detections
from darknet_py.boxes.selection import Classes, ClassThresholds, Selection
from darknet_py.detector_model import DetectorModel
from darknet_py.errors import DarknetError
from darknet_py.network import MOST_TOGETHER
from darknet_py.pictures.batch import pictures_of, read_ahead
from darknet_py.pictures.imagesource import ImageSource
from darknet_py.pictures.load import Picture, read_picture
from darknet_py.session import Session
from darknet_py.sources.choice import Choice
from darknet_py.sources.looking import Detect
from darknet_py.sources.opening import Asked
from darknet_py.sources.video_frames import VideoFrame, video_frames

__all__ = ["Detector"]


class Detector(DetectorModel):
    """A Darknet detector: cfg, weights and names, ready for pictures.

    ``Detector()`` is the built-in model, which finds QR, Data Matrix, PDF417 and Aztec codes, barcodes and ArUco
    markers.

    Parameters
    ----------
    cfg : str, Path or Graph, optional
        The ``.cfg`` file, or the name of a shipped one ("yolov4"); the built-in model's by default.
    weights : str, Path or SeededWeights, optional
        The ``.weights`` file that belongs to it. Needed unless the cfg is a shipped one, or the name of one
        ("yolov4-codes"), whose weights ship as well.
    names : str, Path or sequence of str, optional
        Class names or the file that lists them. Otherwise looked for beside the cfg (``.data``, ``.names``), then
        coco.names for 80 classes and voc.names for 20.
    size : (int, int) or int, optional
        (width, height) of the network's input instead of the cfg's, or one number for a square.
    threads : int, optional
        Threads per image; all physical cores by default. Results do not depend on it.
    letterbox : bool, optional
        Keep the aspect ratio of pictures; by default what the cfg's ``letter_box`` says, as ``detector test`` does.
    like : {"darknet", "darknet.py", "opencv"}
        Whose choices to follow where Darknet's tools differ. "darknet": the command line's own resizing and the cfg's
        NMS. "darknet.py": cv2's resizing, no letterbox, plain IoU NMS. "opencv": the same, with the batch norm of
        ``cv2.dnn``'s importer; with `single_class` it reports the boxes that ``cv2.dnn.DetectionModel`` does, and with
        `agnostic` those of scripts that call ``cv2.dnn.NMSBoxes``: both compare boxes in whole pixels.
    exact : bool
        Only direct convolutions: slower, less memory (see `Network`).
    precision : {"float32", "bfloat16"}
        Of what convolutions multiply: bfloat16 is faster where the CPU has AMX or, by AMD, AVX512-BF16 (see `Network`).
    looks : str or sequence of str, optional
        How a picture is shown to the network, whose NMS sees what all looks give together. "whole": as Darknet does.
        "frame": smaller, in a frame of 30 %, for objects that fill the picture. "double": at twice the size of the
        input, for small ones. By default "whole" alone, but of the built-in model what suits it best; see
        ``docs/looks.md``, also for what they cost.
    classes, max_det, class_thresh : as for `detect`
        Which of the boxes to report where a call does not say; by default all of them.
    agnostic, single_class : bool
        How boxes are suppressed where a call does not say (see `detect`).

    Raises
    ------
    CfgError, UnsupportedError, WeightsError, OptionError

    Notes
    -----
    One Detector may be used by several Python threads at once. Pickled, sent to another process or copied, it travels
    as its files' paths and its options, and loads the files again at the other end.
    """

    def detect(
        self,
        image: ImageSource,
        thresh: float = 0.25,
        nms: float = 0.45,
        *,
        bgr: bool = True,
        classes: Classes | None = None,
        agnostic: bool | None = None,
        single_class: bool | None = None,
        max_det: int | None = None,
        class_thresh: ClassThresholds | None = None,
        session: Session | None = None,
    ) -> Detections:
        """Find objects in one picture.

        Parameters
        ----------
        image : str, Path, bytes, ndarray or PIL.Image.Image
            A file, its bytes, 8-bit pixels (H, W), (H, W, 3) or (H, W, 4), or a Pillow image.
        thresh : float
            Lowest confidence to report, exclusive.
        nms : float
            Overlap above which the less confident of two boxes of a class is dropped.
        bgr : bool
            Whether an array is in cv2's channel order; False for RGB.
        classes : str, int or iterable of them, optional
            Names or numbers of the only classes to report. Nothing else changes: NMS compares boxes of one class.
        agnostic : bool, optional
            Whether NMS compares boxes of all classes, each box under its likeliest class alone. Of `classes`, where
            they are given: a box of another class hides nothing. The most confident box comes first then.
        single_class : bool, optional
            Whether a box counts under its likeliest class alone, before NMS, as in OpenCV's ``DetectionModel`` and in
            most scripts for ``cv2.dnn``. With `classes`, a box whose likeliest class is another is not reported.
        max_det : int, optional
            How many entries to report at most: the most confident ones.
        class_thresh : mapping of str or int to float, optional
            Thresholds of some classes by their names or numbers, in place of `thresh`: ``{"person": 0.6, "cup": 0.1}``.
        session : Session, optional
            Of ``detector.network``: the picture is the next one of its stream, for networks that remember.

        Returns
        -------
        Detections
            In pixels of the picture given.

        Raises
        ------
        ImageError, OptionError

        Notes
        -----
        The last five options are as the Detector was made where they are None. ``classes=detector.names`` asks for all
        classes of a Detector that was made for some.
        """
        wanted = self._wanted.asking(self.names, classes, agnostic, single_class, max_det, class_thresh, thresh, nms)
        picture = read_picture(image, bgr=as_flag("bgr", bgr), channels=self._pipeline.channels)
        return self._pipeline.detect_pictures([picture], wanted, session)[0]

    @overload
    def detect_batch(
        self,
        images: Iterable[ImageSource],
        thresh: float = ...,
        nms: float = ...,
        *,
        bgr: bool = ...,
        classes: Classes | None = ...,
        agnostic: bool | None = ...,
        single_class: bool | None = ...,
        max_det: int | None = ...,
        class_thresh: ClassThresholds | None = ...,
        errors: Literal["raise"] = ...,
    ) -> list[Detections]: ...
    @overload
    def detect_batch(
        self,
        images: Iterable[ImageSource],
        thresh: float = ...,
        nms: float = ...,
        *,
        bgr: bool = ...,
        classes: Classes | None = ...,
        agnostic: bool | None = ...,
        single_class: bool | None = ...,
        max_det: int | None = ...,
        class_thresh: ClassThresholds | None = ...,
        errors: str,
    ) -> list[Detections | DarknetError]: ...
    def detect_batch(
        self,
        images: Iterable[ImageSource],
        thresh: float = 0.25,
        nms: float = 0.45,
        *,
        bgr: bool = True,
        classes: Classes | None = None,
        agnostic: bool | None = None,
        single_class: bool | None = None,
        max_det: int | None = None,
        class_thresh: ClassThresholds | None = None,
        errors: str = "raise",
    ) -> list[Detections] | list[Detections | DarknetError]:
        """Find objects in several pictures of any sizes; equal to calling `detect` on each.

        Up to eight pictures are computed together, which reads the weights once for all of them. Pictures are taken
        from `images` eight at a time, and the next ones are read while those before are looked at. An iterator may fill
        the same array again and again, as ``VideoCapture.read(frame)`` does, or the same Pillow image.

        Parameters
        ----------
        images : iterable of what `detect` takes
            An array (N, H, W, 3) is one, too.
        thresh, nms, bgr, classes, agnostic, single_class, max_det, class_thresh
            As for `detect`.
        errors : {"raise", "return"}
            What becomes of a picture that cannot be read. "raise": its error is raised, and what was found in the
            pictures before it is lost, as is what an iterator had already given. "return": the error stands in its
            place in the list, and all the others are done.

        Returns
        -------
        list of Detections
            One per picture, in order; with ``errors="return"`` also `ImageError`.

        Raises
        ------
        ImageError
            Of the first picture that cannot be read; says its index in the batch, counted from 0.
        OptionError
            Also if `images` is one picture.
        """
        errors = as_choice("errors", errors, ("raise", "return"))
        wanted = self._wanted.asking(self.names, classes, agnostic, single_class, max_det, class_thresh, thresh, nms)
        load = partial(read_picture, bgr=as_flag("bgr", bgr), channels=self._pipeline.channels)
        found: list[Detections | DarknetError] = []
        with closing(read_ahead(pictures_of(images), load, MOST_TOGETHER)) as readings:
            for chunk in readings:
                pictures = [read for read in chunk if isinstance(read, Picture)]
                if errors == "raise" and len(pictures) < len(chunk):
                    raise next(read for read in chunk if isinstance(read, DarknetError))
                boxes = iter(self._pipeline.detect_pictures(pictures, wanted) if pictures else ())
                found += [next(boxes) if isinstance(read, Picture) else read for read in chunk]
        return found

    def detect_video(
        self,
        source: str | os.PathLike[str] | int,
        thresh: float = 0.25,
        nms: float = 0.45,
        *,
        every: int = 1,
        start: float | str | None = None,
        stop: float | str | None = None,
        latest: bool | None = None,
        reconnect: bool = False,
        timeout: float = 10.0,
        bgr: bool = True,
        **options: Any,
    ) -> Generator[VideoFrame, None, None]:
        """Find objects in the frames of a video, a camera or a stream, as they come, by PyAV or OpenCV.

        Networks that remember look at one frame after the other, in a session of their own; others at several at once.

        Parameters
        ----------
        source : str, Path or int
            A file; an ``http``, ``https``, ``rtsp``, ``rtmp``, ``srt`` or ``udp`` address; or a camera's number.
        thresh, nms
            As for `detect`.
        every : int
            Look at each so-many-th frame only.
        start, stop : float or str, optional
            Look at frames from this time on and before that one: seconds, or text such as ``"1:30"``.
        latest : bool, optional
            Look at the newest frame and drop those that came meanwhile; by default of live sources, not of files.
        reconnect : bool
            Open a live source that ends, fails or stalls again, until it is there; the logger says so.
        timeout : float
            Seconds without a frame after which a live source counts as lost.
        bgr : bool
            Whether frames are given in cv2's channel order; False for RGB.
        **options
            classes, agnostic, single_class, max_det, class_thresh, as for `detect`.

        Yields
        ------
        VideoFrame
            Which unpacks as ``pixels, time, found``, and knows its ``number`` and how many were ``dropped`` so far.

        Raises
        ------
        VideoError
            The source cannot be read, breaks off or is lost, once all frames before have been given.
        OptionError, UnsupportedError
        """
        wanted = self.selection(thresh, nms, **options)
        choice = Choice(every, start, stop, latest, reconnect, timeout)  # type: ignore[arg-type]
        bgr = as_flag("bgr", bgr)
        detect, begin = self._looking(wanted, bgr)
        return video_frames(
            source, Asked(choice), detect, form="bgr" if bgr else "rgb", threads=self.network.threads, begin=begin
        )

    def _looking(self, wanted: Selection, bgr: bool) -> tuple[Detect, Callable[[], Detect] | None]:
        """What looks at frames of a video, and if the network remembers what begins with a video's first one."""
        pipeline = self._pipeline

        def detect(pictures: Sequence[Any], session: Session | None = None) -> list[Detections]:
            read = [read_picture(pixels, bgr=bgr, channels=pipeline.channels) for pixels in pictures]
            if session is None:
                return pipeline.detect_pictures(read, wanted)
            return [pipeline.detect_pictures([picture], wanted, session)[0] for picture in read]

        def begin() -> Detect:
            return partial(detect, session=self.network.session())

        return detect, begin if self.graph.remembers else None

    def detect_tiled(
        self,
        image: ImageSource,
        thresh: float = 0.25,
        nms: float = 0.45,
        *,
        tiles: str | tuple[int, int] | int = "auto",
        overlap: float = 0.2,
        scales: str = "whole",
        bgr: bool = True,
        classes: Classes | None = None,
        agnostic: bool | None = None,
        single_class: bool | None = None,
        max_det: int | None = None,
        class_thresh: ClassThresholds | None = None,
    ) -> Detections:
        """Find small objects in one large picture, which is looked at in overlapping tiles.

        What several tiles show is reported once: parts of an object that a border cut give way to the whole one, or are
        made one, and NMS sees to the rest. JPEGs, PNGs and TIFFs are read as the tiles need them, so that memory is
        bounded by some rows of the picture, not by its height; see ``docs/tiles.md`` for which of them cannot be.

        Parameters
        ----------
        image, thresh, nms, bgr, classes, agnostic, single_class, max_det, class_thresh
            As for `detect`. A picture may have ``DARKNET_PY_MAX_TILED_PIXELS`` pixels, if it can be read in parts.
        tiles : (int, int), int or "auto"
            (width, height) of a tile in pixels of the picture, or one number for a square. "auto" is the size of the
            network's input: nothing is scaled down.
        overlap : float
            Least share of a tile's sides that the next one repeats, up to 0.9. An object no larger lies wholly inside a
            tile.
        scales : {"whole", "tiles", "all"}
            At what sizes to look: "tiles" at the tiles alone; "whole" at the picture as a whole as well, for objects
            larger than a tile; "all" also at tiles of twice the size, four times, and so on, for a third more time.

        Returns
        -------
        Detections
            In pixels of the picture given. Of a picture no larger than a tile, what `detect` finds.

        Raises
        ------
        ImageError, OptionError
        """
        from darknet_py.tiling import Tiling, open_strips, search

        wanted = self._wanted.asking(self.names, classes, agnostic, single_class, max_det, class_thresh, thresh, nms)
        blob = self.graph.blob
        tiling = Tiling.asking(tiles, overlap, scales, (blob.w, blob.h))
        with open_strips(image, bgr=as_flag("bgr", bgr), channels=self._pipeline.channels) as strips:
            return search(self._pipeline, strips, tiling, wanted)
