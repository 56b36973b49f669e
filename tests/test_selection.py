"""Which boxes are reported: by class, one class a box, across classes, the most confident; against slow plain code."""

from __future__ import annotations

import naive_boxes
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from test_nms import EXPONENTS, as_boxes, coarse_boxes, random_candidates, tie_free

from darknet_py.boxes.decode import Candidates
from darknet_py.boxes.nms import NMS_KINDS, suppress_across_classes
from darknet_py.boxes.selection import Selection, class_ids, select
from darknet_py.boxes.whole_pixels import whole_pixels
from darknet_py.errors import OptionError

NAMES = ("person", "bicycle", "traffic light")

Entry = tuple[float, ...]


def entries(candidates: Candidates) -> list[Entry]:
    """(cx, cy, w, h, class, probability), in order."""
    return [
        (*map(float, box), k, float(probs[k]))
        for box, probs in zip(candidates.cxcywh, candidates.probs, strict=True)
        for k in np.flatnonzero(probs)
    ]


def candidates_of(boxes: list[dict[str, object]]) -> Candidates:
    alive = [box for box in boxes if box["objectness"]]
    return Candidates(
        np.array([[box[key] for key in "xywh"] for box in alive], np.float32).reshape(-1, 4),
        np.array([box["objectness"] for box in alive], np.float32),
        np.array([box["probs"] for box in alive], np.float32).reshape(-1, 3),
    )


def naive_across(candidates: Candidates, thresh: float, exponent: float | None) -> list[Entry]:
    """The likeliest class of each box, most confident first, unless one before overlaps."""
    kept: list[dict[str, object]] = []
    ranked = []
    for box in as_boxes(candidates):
        best = max(box["probs"])
        if best > 0:
            ranked.append((best, box["probs"].index(best), box))
    ranked.sort(key=lambda one: -one[0])
    found = []
    for best, k, box in ranked:
        if any(naive_boxes.overlap(box, other, exponent) > thresh for other in kept):
            continue
        kept.append(box)
        found.append((box["x"], box["y"], box["w"], box["h"], k, best))
    return found


@settings(max_examples=150, deadline=None)
@given(boxes=coarse_boxes, kind=st.sampled_from(list(NMS_KINDS)), thresh=st.sampled_from([0.1, 0.37, 0.61]))
def test_across_classes_with_ties(boxes: list[dict[str, object]], kind: str, thresh: float) -> None:
    candidates = candidates_of(boxes)
    assume(tie_free(as_boxes(candidates), thresh, EXPONENTS[kind]))
    before = candidates.probs.copy()
    found = suppress_across_classes(candidates, nms=thresh, kind=kind, beta=0.8)
    assert entries(found) == naive_across(candidates, thresh, EXPONENTS[kind])
    np.testing.assert_array_equal(candidates.probs, before)
    assert found.probs.shape == (len(found), 3) and len(found.objectness) == len(found)


@pytest.mark.parametrize("kind", list(NMS_KINDS))
def test_across_classes_beyond_one_chunk(kind: str) -> None:
    candidates = random_candidates(400, 3, size=0.1)
    assert tie_free(as_boxes(candidates), 0.3, EXPONENTS[kind])
    found = suppress_across_classes(candidates, nms=0.3, kind=kind, beta=0.8)
    assert entries(found) == naive_across(candidates, 0.3, EXPONENTS[kind])
    assert 64 < len(found) < np.count_nonzero(candidates.probs.any(axis=1))


def test_across_classes_with_zero_suppresses_no_box() -> None:
    candidates = random_candidates(20, 3)
    found = suppress_across_classes(candidates, nms=0)
    assert len(found) == np.count_nonzero(candidates.probs.any(axis=1))
    assert (np.diff(found.probs.max(axis=1)) <= 0).all()


@pytest.mark.parametrize(("n", "classes"), [(0, 3), (4, 0)])
@pytest.mark.parametrize("options", [{"agnostic": True}, {"single_class": True}, {"max_det": 1}])
def test_nothing_to_choose_from(n: int, classes: int, options: dict[str, object]) -> None:
    found = select(random_candidates(n, classes), Selection(**options), kind="default", beta=0.6)  # type: ignore[arg-type]
    assert found.probs.shape == (n, classes)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    classes=st.sets(st.integers(0, 3), min_size=1),
    agnostic=st.booleans(),
    single=st.booleans(),
    most=st.none() | st.integers(1, 30),
)
def test_options_together(seed: int, classes: set[int], agnostic: bool, single: bool, most: int | None) -> None:
    """What each option means, on lists of entries."""
    candidates = random_candidates(30, 4, seed)
    wanted = Selection(0.25, 0.4, tuple(classes), agnostic, single, most)
    found = entries(select(candidates, wanted, kind="default", beta=0.6))
    probs = candidates.probs.copy()
    if single:
        probs[probs < probs.max(axis=1, keepdims=True)] = 0
    if agnostic:
        probs[:, [k for k in range(4) if k not in classes]] = 0
        expected = naive_across(Candidates(candidates.cxcywh, candidates.objectness, probs), 0.4, None)
    else:
        boxes = naive_boxes.suppress(as_boxes(Candidates(candidates.cxcywh, candidates.objectness, probs)), 0.4)
        every = [(b["x"], b["y"], b["w"], b["h"], k, p) for b in boxes for k, p in enumerate(b["probs"]) if p]
        expected = [entry for entry in every if entry[4] in classes]
    if most is not None:
        limit = sorted((entry[5] for entry in expected), reverse=True)[:most]
        expected = [entry for entry in expected if entry[5] >= limit[-1]] if limit else []
    assert found == expected


def test_filtering_changes_nothing_else() -> None:
    """Also where equal probabilities let the order of Darknet's sorts decide which box stays."""
    rng = np.random.default_rng(3)
    for _ in range(50):
        probs = rng.choice(np.float32([0, 0.25, 0.5]), (12, 4))
        cxcywh = rng.choice(np.float32([0.25, 0.375, 0.5]), (12, 4))
        candidates = Candidates(cxcywh, np.ones(12, np.float32), probs)
        every = entries(select(candidates, Selection(nms=0.3), kind="default", beta=0.6))
        some = entries(select(candidates, Selection(nms=0.3, classes=(1, 3)), kind="default", beta=0.6))
        assert some == [entry for entry in every if entry[4] in (1, 3)]


def test_what_is_not_wanted_hides_nothing_that_is() -> None:
    cxcywh = np.array([[0.5, 0.5, 0.2, 0.2], [0.5, 0.5, 0.2, 0.21], [0.5, 0.5, 0.2, 0.2]], np.float32)
    probs = np.array([[0, 0.9, 0], [0.6, 0.7, 0], [0, 0, 0.5]], np.float32)
    candidates = Candidates(cxcywh, np.ones(3, np.float32), probs)

    def chosen(**options: object) -> list[tuple[int, float]]:
        found = select(candidates, Selection(**options), kind="default", beta=0.6)  # type: ignore[arg-type]
        return [(int(k), round(p, 2)) for *_, k, p in entries(found)]

    assert chosen(agnostic=True) == [(1, 0.9)]
    assert chosen(agnostic=True, classes=(0, 2)) == [(0, 0.6)]
    assert chosen(agnostic=True, classes=(0, 2), single_class=True) == [(2, 0.5)]
    assert chosen(single_class=True, classes=(0,)) == []
    assert chosen(single_class=True) == [(2, 0.5), (1, 0.9)]


def test_an_entry_below_its_own_threshold_hides_nothing() -> None:
    boxes = np.tile(np.float32([0.5, 0.5, 0.2, 0.2]), (2, 1))
    candidates = Candidates(boxes, np.ones(2, np.float32), np.array([[0.6, 0], [0, 0.3]], np.float32))
    for options in ({"agnostic": True}, {"agnostic": True, "single_class": True}):
        wanted = Selection(0.25, 0.4, class_thresh=((0, 0.7),), **options)  # type: ignore[arg-type]
        assert wanted.lowest_thresh == 0.25
        (entry,) = entries(select(candidates, wanted, kind="default", beta=0.6))
        assert entry[4:] == (1, pytest.approx(0.3))
    assert Selection(0.25, class_thresh=((0, 0.7), (1, 0.05))).lowest_thresh == 0.05


def test_the_first_of_equally_confident_entries() -> None:
    probs = np.array([[0.5, 0.5], [0.5, 0.75]], np.float32)
    candidates = Candidates(np.full((2, 4), 0.1, np.float32), np.ones(2, np.float32), probs)
    kept = [select(candidates, Selection(nms=0, max_det=n), kind="default", beta=0.6).probs for n in (1, 2, 3, 9)]
    expected = [[[0, 0], [0, 0.75]], [[0.5, 0], [0, 0.75]], [[0.5, 0.5], [0, 0.75]], probs]
    for found, wanted in zip(kept, expected, strict=True):
        np.testing.assert_array_equal(found, np.float32(wanted))


# Boxes compared in place of others ----------------------------------------------------------------------------


def opencvs_box(box: NDArray[np.float32], width: int, height: int, inside: bool) -> list[int]:
    """Left, top, width, height, by the integer arithmetic of DetectionModel, or of scripts."""
    x, y, w, h = (int(np.float32(part) * np.float32(side)) for part, side in zip(box, (width, height) * 2, strict=True))
    if not inside:
        return [int(x - w / 2), int(y - h / 2), w, h]
    left, top = max(0, min(x - w // 2, width - 1)), max(0, min(y - h // 2, height - 1))
    return [left, top, max(1, min(w, width - left)), max(1, min(h, height - top))]


@settings(max_examples=100, deadline=None)
@given(
    box=st.tuples(*[st.floats(-0.5, 1.5, width=32)] * 2, *[st.floats(0, 2, width=32)] * 2),
    size=st.tuples(st.integers(1, 700), st.integers(1, 500)),
    inside=st.booleans(),
)
def test_whole_pixels(box: tuple[float, ...], size: tuple[int, int], inside: bool) -> None:
    given_box = np.array(box, np.float32)
    cx, cy, w, h = map(float, whole_pixels(given_box[None], *size, inside=inside)[0])
    assert [cx - w / 2, cy - h / 2, w, h] == opencvs_box(given_box, *size, inside)


def test_boxes_that_are_not_finite_stay_so() -> None:
    boxes = np.array([[0.5, 0.5, np.inf, 0.2], [np.nan, 0.5, 0.1, 0.1]], np.float32)
    for inside in (True, False):
        assert not np.isfinite(whole_pixels(boxes, 64, 48, inside=inside)).all(axis=1).all()


@pytest.mark.parametrize("agnostic", [False, True])
def test_other_boxes_are_compared_and_the_own_reported(agnostic: bool) -> None:
    candidates = random_candidates(60, 2, seed=5)
    others = random_candidates(60, 2, seed=6).cxcywh
    wanted = Selection(nms=0.3, agnostic=agnostic, single_class=True)
    found = select(candidates, wanted, kind="default", beta=0.6, boxes=others)
    swapped = Candidates(others, candidates.objectness, candidates.probs)
    expected = select(swapped, wanted, kind="default", beta=0.6)
    own = {
        tuple(map(float, other)): tuple(map(float, box)) for other, box in zip(others, candidates.cxcywh, strict=True)
    }
    assert entries(found) == [(*own[entry[:4]], *entry[4:]) for entry in entries(expected)]


# Class names and numbers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "expected"),
    [
        ("bicycle", (1,)),
        (2, (2,)),
        (np.int64(2), (2,)),
        (["traffic light", 0, "person", np.uint8(0)], (0, 2)),
        ({"person"}, (0,)),
        (range(3), (0, 1, 2)),
        (np.array([2, 1]), (1, 2)),
        (np.array(["person", "bicycle"]), (0, 1)),
        (np.array(1), (1,)),
        ((name for name in NAMES[:2]), (0, 1)),
        (np.str_("person"), (0,)),
    ],
)
def test_classes_by_name_and_number(classes: object, expected: tuple[int, ...]) -> None:
    assert class_ids(classes, NAMES) == expected


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("persons", r"no class is called 'persons': did you mean 'person'\?"),
        (["PERSON"], "did you mean 'person'"),
        (["person", "Bycicle"], "no class is called 'Bycicle': did you mean 'bicycle'"),
        ("zebra", "expected one of person, bicycle, traffic light"),
        ("person, bicycle", r"expected a list, \['person', 'bicycle'\]"),
        ("", "expected one of person"),
        (3, r"3: expected a number from 0 \('person'\) to 2 \('traffic light'\)"),
        ([0, -1], "-1: expected a number from 0"),
        ([], "classes is empty: expected at least one"),
        (1.0, "1.0: expected the name of a class or its number"),
        ([None], "None: expected the name"),
        (True, "True: expected the name"),
        (b"person", "expected the name"),
        ([["person"]], "expected the name"),
        (np.array([0.5]), "0.5: expected the name"),
    ],
)
def test_classes_that_are_none(classes: object, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        class_ids(classes, NAMES)


def test_a_name_of_several_classes_means_them_all_and_a_long_list_is_cut() -> None:
    assert class_ids("a", ("a", "b", "a")) == (0, 2)
    with pytest.raises(OptionError, match=r"expected one of class 0, .*class 19 and 60 more"):
        class_ids("zzz", [f"class {n}" for n in range(80)])
