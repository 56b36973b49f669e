"""Detections in supervision's hands: annotators, a tracker, a zone, merging; skipped where it is not installed."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from darknet_py import Detections, OptionError


def found() -> Detections:
    xyxy = np.array([[10, 20, 60, 90], [100, 30, 180, 95], [-20, 40, 30, 150]], np.float32)
    names = np.array(["dog", "traffic light", "dog"])
    confidence = np.array([0.95, 0.9, 0.85], np.float32)
    return Detections(xyxy, confidence, np.array([16, 9, 16]), names, 200, 120, confidence)


@pytest.fixture
def sv() -> Any:
    return pytest.importorskip("supervision")


def test_the_arrays_are_copies_with_the_names_beside(sv: Any) -> None:
    given = found()
    made = given.to_supervision()
    assert isinstance(made, sv.Detections) and len(made) == 3
    for name in ("xyxy", "confidence", "class_id"):
        np.testing.assert_array_equal(getattr(made, name), getattr(given, name))
        assert not np.shares_memory(getattr(made, name), getattr(given, name))
    assert list(made["class_name"]) == ["dog", "traffic light", "dog"]
    assert list(made[made.class_id == 16]["class_name"]) == ["dog", "dog"]
    assert len(made.with_nms(threshold=0.5)) == 3


def test_nothing_found(sv: Any) -> None:
    nothing = Detections.empty(64, 48).to_supervision()
    assert len(nothing) == 0 and nothing.xyxy.shape == (0, 4)
    assert len(sv.Detections.merge([nothing, found().to_supervision()])) == 3
    scene = np.zeros((48, 64, 3), np.uint8)
    assert not sv.LabelAnnotator().annotate(sv.BoxAnnotator().annotate(scene.copy(), nothing), nothing).any()


def test_annotators_draw_boxes_and_names(sv: Any) -> None:
    scene = np.zeros((120, 200, 3), np.uint8)
    boxed = sv.BoxAnnotator().annotate(scene.copy(), found().to_supervision())
    assert boxed[20:91, 10:61].any() and not boxed[45:70, 70:95].any()
    labelled = sv.LabelAnnotator().annotate(boxed.copy(), found().to_supervision())
    assert (labelled != boxed).any()
    other = Detections(**{**vars(found()), "class_names": np.array(["a", "b", "c"])})
    assert (sv.LabelAnnotator().annotate(boxed.copy(), other.to_supervision()) != labelled).any()


def byte_track(sv: Any) -> Any:
    """Its update function: supervision had one up to 0.28, the package trackers has it since."""
    if hasattr(sv, "ByteTrack"):
        return sv.ByteTrack().update_with_detections
    return pytest.importorskip("trackers").ByteTrackTracker(minimum_consecutive_frames=1).update


@pytest.mark.filterwarnings("ignore")  # where a tracker names its successor
def test_a_tracker_keeps_numbers_and_names(sv: Any) -> None:
    update, seen = byte_track(sv), []
    for step in range(4):
        given = found()
        moved = Detections(**{**vars(given), "xyxy": given.xyxy + np.float32(step)})
        seen.append(update(moved.to_supervision()))
    assert [len(one) for one in seen] == [3, 3, 3, 3]
    # What is new may have no number yet, which trackers writes as -1.
    second, _, last = (dict(zip(one.tracker_id.tolist(), one["class_name"], strict=True)) for one in seen[1:])
    assert second == last and sorted(last.values()) == ["dog", "dog", "traffic light"]


def test_a_zone_counts_what_is_inside(sv: Any) -> None:
    zone = sv.PolygonZone(np.array([[0, 0], [90, 0], [90, 119], [0, 119]]))
    inside = zone.trigger(found().to_supervision())
    assert inside.tolist() == [
        True,
        False,
        False,
    ]  # by the middle of the lower edge, which the last has beyond the zone


def test_without_supervision_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(OptionError, match=r"needs the package supervision .*: pip install supervision"):
        found().to_supervision()


def test_what_is_handed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where supervision is not installed."""
    monkeypatch.setitem(sys.modules, "supervision", SimpleNamespace(Detections=lambda **arrays: arrays))
    arrays: Any = found().to_supervision()
    assert sorted(arrays) == ["class_id", "confidence", "data", "xyxy"]
    assert list(arrays["data"]) == ["class_name"]
