"""A picture shown to the network in a frame, whole and at double size: where it lies, and what comes of it together."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import TinyNetwork

from darknet_py import Detections, Detector, OptionError, load_graph
from darknet_py.boxes.decode import Candidates, decode, join
from darknet_py.boxes.selection import Selection, select
from darknet_py.image import load_image, to_blob
from darknet_py.pictures.blob import begin_blob
from darknet_py.pictures.geometry import Geometry
from darknet_py.pictures.looks import FRAME, LOOKS, as_looks
from darknet_py.shipped import default_looks

NAMES = ["cat", "dog", "owl"]
WIDTH, HEIGHT = 64, 32
SIDES = st.integers(1, 700)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A detector of three classes that finds a lot in noise."""
    tiny = TinyNetwork((3, HEIGHT, WIDTH), seed=1)
    tiny.add("convolutional", {"filters": 16, "size": 3, "pad": 1, "stride": 4, "activation": "linear"})
    tiny.add("yolo", {"classes": 3, "num": 2, "anchors": "9,12, 20,17", "mask": "0,1"})
    return tiny.write(tmp_path_factory.mktemp("looks"))


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (57, 83, 3), np.uint8)


def looking(files: tuple[Path, Path], looks: Any = None, **options: Any) -> Detector:
    return Detector(*files, NAMES, threads=1, looks=looks, **options)


def rows(found: Detections) -> list[tuple[Any, ...]]:
    return sorted((one.class_id, one.confidence, *one.xyxy) for one in found)


# Where the picture lies ----------------------------------------------------------------------------------------


@given(SIDES, SIDES, SIDES, SIDES, st.booleans(), st.sampled_from([0.0, FRAME, 0.01, 1.0, 9.0]))
def test_a_framed_picture_lies_in_the_middle(width, height, net_w, net_h, letterbox, frame):
    place = Geometry(width, height, net_w, net_h, letterbox, frame)
    assert 1 <= place.new_width <= net_w and 1 <= place.new_height <= net_h
    assert place.left >= 0 and place.left + place.new_width <= net_w
    assert place.top >= 0 and place.top + place.new_height <= net_h
    if not letterbox:  # exactly: Darknet's letterbox leaves half a pixel
        assert 2 * place.left + place.new_width == net_w and 2 * place.top + place.new_height == net_h
        assert abs(place.new_width * (1 + 2 * frame) - net_w) <= 3 * (1 + 2 * frame)
    corners = np.array(
        [place.left + place.new_width / 2, place.top + place.new_height / 2, place.new_width, place.new_height]
    ) / (net_w, net_h, net_w, net_h)
    slack = 0.51 / min(place.new_width, place.new_height) if letterbox else 1e-5
    assert np.allclose(place.to_image(corners), (0.5, 0.5, 1, 1), atol=slack)
    boxes = np.random.default_rng(0).random((5, 4)).astype(np.float32)
    assert np.allclose(place.to_net(place.to_image(boxes)), boxes, atol=1e-5)


def test_a_frame_of_nothing_changes_nothing():
    assert Geometry(83, 57, 64, 32, frame=0.0).fills and not Geometry(83, 57, 64, 32, frame=FRAME).fills
    with pytest.raises(OptionError, match="a share of the image's sides"):
        Geometry(83, 57, 64, 32, frame=-0.1)


@pytest.mark.parametrize("like", ["darknet", "darknet.py", "opencv"])
@pytest.mark.parametrize(("size", "net"), [((83, 57), (64, 32)), ((20, 90), (65, 33)), ((40, 20), (64, 32))])
def test_a_framed_picture_is_the_smaller_one_on_grey(like, size, net):
    image = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), np.uint8)
    place = Geometry(*size, *net, frame=FRAME)
    blob = np.full((net[1], net[0], 3), np.nan, np.float32)
    resizing = begin_blob(image, place, blob, like=like)
    if resizing is not None:
        resizing.run()
    expected = np.full_like(blob, 0.5)
    inner = expected[place.top : place.top + place.new_height, place.left : place.left + place.new_width]
    to_blob(image, place.new_width, place.new_height, like=like, out=inner)
    assert np.array_equal(blob, expected)


# What is found -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("letterbox", [False, True])
def test_what_a_frame_shows_is_where_it_lies_in_the_picture(files, picture, letterbox):
    found = looking(files, "frame", letterbox=letterbox).detect(picture, 0.1)
    detector = looking(files)
    place = Geometry(83, 57, WIDTH, HEIGHT, letterbox, FRAME)
    canvas = np.full((HEIGHT, WIDTH, 3), 0.5, np.float32)
    inner = canvas[place.top : place.top + place.new_height, place.left : place.left + place.new_width]
    to_blob(load_image(picture), place.new_width, place.new_height, out=inner)
    by_hand = detector.detect_blob(canvas.transpose(2, 0, 1), (WIDTH, HEIGHT), 0.1)
    # As a person would: pixels of the canvas, moved and stretched.
    scale = 83 / place.new_width, 57 / place.new_height
    offset = (WIDTH - place.new_width) / 2, (HEIGHT - place.new_height) / 2
    assert len(found) == len(by_hand) > 3
    np.testing.assert_allclose(found.xyxy, (by_hand.xyxy - np.tile(offset, 2)) * np.tile(scale, 2), atol=1e-3)
    assert np.array_equal(found.confidence, by_hand.confidence)


def test_double_is_the_network_at_twice_its_size(files, picture):
    found = looking(files, "double").detect(picture, 0.1)
    assert found == looking(files, size=(2 * WIDTH, 2 * HEIGHT)).detect(picture, 0.1)
    assert found != looking(files).detect(picture, 0.1)
    small = looking(files, "double", size=(48, 96)).detect(picture, 0.1)
    assert small == looking(files, size=(96, 192)).detect(picture, 0.1)


def test_all_looks_together_meet_in_one_nms(files, picture):
    alone = [looking(files, look).detect(picture, 0.1, nms=0) for look in LOOKS]
    detector = looking(files, LOOKS)
    assert rows(detector.detect(picture, 0.1, nms=0)) == sorted(row for found in alone for row in rows(found))
    networks = {look: looking(files, look).network for look in ("frame", "whole")}
    networks["double"] = looking(files, size=(2 * WIDTH, 2 * HEIGHT)).network
    parts = []
    for look, network in networks.items():
        _, net_h, net_w = network.graph.blob
        place = Geometry(83, 57, net_w, net_h, frame=FRAME if look == "frame" else 0.0)
        blob = np.empty((net_h, net_w, 3), np.float32)
        resizing = begin_blob(load_image(picture), place, blob)
        assert resizing is not None
        resizing.run()
        head = network.heads[0]
        taken = network.run(blob.transpose(2, 0, 1), taps=[head.index])[head.index]
        parts.append(decode([(head, taken.transpose(1, 2, 0))], place, 0.1))
    last = detector.network.heads[-1]
    expected = select(join(parts), Selection(0.1, 0.45), kind=last.nms_kind, beta=last.beta_nms)
    found = Detections.from_candidates(expected, NAMES, Geometry(83, 57, 83, 57))
    np.testing.assert_allclose(rows(found), rows(detector.detect(picture, 0.1)), atol=1e-4)


def test_parts_are_joined_in_their_order():
    one = Candidates(np.zeros((2, 4), np.float32), np.ones(2, np.float32), np.ones((2, 3), np.float32))
    two = Candidates(np.ones((1, 4), np.float32), np.zeros(1, np.float32), np.zeros((1, 3), np.float32))
    assert join([one]) is one
    both = join([one, two])
    assert (both.cxcywh[:, 0].tolist(), both.objectness.tolist(), both.probs.shape) == ([0, 0, 1], [1, 1, 0], (3, 3))


@pytest.mark.parametrize("looks", ["frame", ("frame", "whole"), ("whole", "double"), LOOKS])
def test_every_call_looks_alike(files, picture, looks, tmp_path):
    detector = looking(files, looks)
    found = detector.detect(picture, 0.1)
    other = np.ascontiguousarray(picture[:40, ::-1])
    assert detector.detect_batch([picture, other, picture] * 4, 0.1) == [found, detector.detect(other, 0.1), found] * 4
    assert detector.detect(picture[..., ::-1], 0.1, bgr=False) == found
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    assert detector.detect(tmp_path / "a.png", 0.1) == found == detector.detect_tiled(tmp_path / "a.png", 0.1, tiles=90)
    assert pickle.loads(pickle.dumps(detector)).detect(picture, 0.1) == found
    # A blob has been prepared: it is looked at as it is.
    blob = to_blob(load_image(picture), WIDTH, HEIGHT).transpose(2, 0, 1)
    assert detector.detect_blob(blob, (83, 57), 0.1) == looking(files).detect(picture, 0.1)


def test_choices_hold_for_all_looks_together(files, picture):
    detector = looking(files, LOOKS)
    everything = detector.detect(picture, 0.1)
    assert detector.detect(picture, 0.1, classes="dog") == everything[everything.class_id == 1]
    assert sorted(detector.detect(picture, 0.1, max_det=4).confidence) == sorted(everything.confidence)[-4:]
    across = detector.detect(picture, 0.1, agnostic=True)
    assert across == across.sorted() and 0 < len(across) < len(everything)
    alone = detector.detect(picture, 0.1, single_class=True)
    assert len({box.tobytes() for box in alone.xyxy}) == len(alone)
    strict = detector.detect(picture, 0.3, class_thresh={"dog": 0.1})
    assert set(strict.class_names[strict.confidence <= 0.3]) == {"dog"}


def test_tiles_step_outwards(files):
    wide = np.random.default_rng(2).integers(0, 256, (70, 150, 3), np.uint8)
    options: dict[str, Any] = {"thresh": 0.1, "nms": 0, "tiles": (80, 70), "overlap": 0.2}
    tiled = looking(files).detect_tiled(wide, **options, scales="tiles")
    # Parts that a border cut are another matter: they are made one with what holds them.
    in_frame = looking(files, "frame").detect(wide, 0.1, nms=0)
    both = looking(files, "frame").detect_tiled(wide, **options)
    assert set(rows(both)) - set(rows(tiled)) and len(both) > len(tiled)
    beyond = [one for one in both if min(one.xyxy[:2]) < -10 or one.xyxy[2] > 160 or one.xyxy[3] > 80]
    assert len(beyond) >= len([one for one in in_frame if min(one.xyxy[:2]) < -10]) > 0
    assert looking(files, "frame").detect_tiled(wide, **options, scales="tiles") == tiled


# What is refused, and what is said -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("looks", "message"),
    [
        ("all", "looks: 'all': expected one or several of frame, whole, double"),
        ("frame,whole", r"as a list: \['frame', 'whole'\]"),
        (["whole", 2], "looks: 2: expected one"),
        (True, "looks: True: expected one"),
        ((), "looks is empty: expected one or several"),
    ],
)
def test_what_is_no_look(files, looks, message):
    with pytest.raises(OptionError, match=message):
        looking(files, looks)


def test_looks_are_taken_once_and_in_their_order(files):
    assert as_looks(["double", "frame", "double"]) == ("frame", "double")
    detector = looking(files, iter(["whole", "frame"]))
    assert detector.looks == ("frame", "whole") and "looks=('frame', 'whole')" in repr(detector)
    assert looking(files).looks == ("whole",) and "looks" not in repr(looking(files))


def test_a_stream_is_remembered_as_one_look_shows_it(files, picture):
    detector = looking(files, ("frame", "whole"))
    with pytest.raises(OptionError, match=r"a session with looks=\('frame', 'whole'\)"):
        detector.detect(picture, session=detector.network.session())
    whole = looking(files)
    assert whole.detect(picture, 0.1, session=whole.network.session()) == whole.detect(picture, 0.1)


def test_a_graph_cannot_be_doubled(files):
    graph = load_graph(files[0])
    with pytest.raises(OptionError, match=r"'double' of a graph of 64x32: give its \.cfg file"):
        Detector(graph, files[1], NAMES, looks="double")
    assert Detector(graph, files[1], NAMES, looks="frame").looks == ("frame",)


def test_the_built_in_model_has_looks_of_its_own(files):
    ours = Detector().looks
    assert ours == ("frame", "whole")
    assert ours == default_looks(Detector().network.files[1]) == Detector("yolov4-codes").looks
    assert Detector(like="opencv").looks == ("whole",)  # what cv2.dnn does
    assert default_looks(files[1]) == ("whole",)
