"""Suppression against Darknet's own results and against its procedure written out naively."""

import golden_heads
import naive_boxes
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from darknet_py.boxes.decode import Candidates, decode
from darknet_py.boxes.nms import suppress
from darknet_py.errors import OptionError
from darknet_py.nms_kinds import NMS_KINDS
from darknet_py.pictures.geometry import Geometry

EXPONENTS = {"default": None, "cornersnms": None, "greedynms": 0.6, "diounms": 0.8}


def candidates_of(boxes, classes):
    return Candidates(
        np.array([[box[key] for key in "xywh"] for box in boxes], np.float32).reshape(-1, 4),
        np.array([box["objectness"] for box in boxes], np.float32),
        np.array([box["probs"] for box in boxes], np.float32).reshape(-1, classes),
    )


def random_candidates(n, classes, seed=0, size=0.3):
    rng = np.random.default_rng(seed)
    cxcywh = np.concatenate((rng.random((n, 2)), size * rng.random((n, 2)) + 0.01), axis=1).astype(np.float32)
    probs = np.where(rng.random((n, classes)) < 0.5, rng.random((n, classes)), 0).astype(np.float32)
    return Candidates(cxcywh, np.ones(n, np.float32), probs)


def as_boxes(candidates):
    rows = zip(candidates.cxcywh, candidates.objectness, candidates.probs, strict=True)
    boxes = []
    for box, objectness, probs in rows:
        sides = dict(zip("xywh", box.tolist(), strict=True))
        boxes.append({**sides, "objectness": float(objectness), "probs": probs.tolist()})
    return boxes


def tie_free(boxes, thresh, exponent):
    """Whether float32 and float64 must agree on every comparison with the threshold."""
    pairs = [(a, b) for i, a in enumerate(boxes) for b in boxes[:i]]
    return all(abs(naive_boxes.overlap(a, b, exponent) - thresh) > 1e-5 for a, b in pairs)


def check(found, boxes):
    assert_array_equal(found.cxcywh, candidates_of(boxes, found.probs.shape[1]).cxcywh)
    assert_array_equal(found.objectness, np.array([box["objectness"] for box in boxes], np.float32))
    assert_array_equal(found.probs, candidates_of(boxes, found.probs.shape[1]).probs)


@pytest.mark.parametrize("key", ["dets", "dets_letter"])
@pytest.mark.parametrize("name", golden_heads.cases("dets"))
def test_golden_boxes_in_order(name, key):
    case = golden_heads.read(name)
    layer, head_map = case.heads[-1]
    if key == "dets_letter" and layer.kind == "region" and layer.tree is not None:
        # The reference decoded twice, and each time Darknet changes the head's output.
        blocks = head_map.reshape(*head_map.shape[:2], layer.num, -1)
        blocks[..., 5:] = np.apply_along_axis(naive_boxes.follow_tree, -1, blocks[..., 5:], layer.tree.parents)
    geometry = Geometry(*golden_heads.IMAGE_SIZE, *case.net_size, letterbox=key == "dets_letter")
    candidates = decode(case.heads, geometry, 0.25)
    found = golden_heads.rows(suppress(candidates, nms=0.45, kind=layer.nms_kind, beta=layer.beta_nms))
    assert_allclose(found, case.golden[key][:, 1:], rtol=1e-5, atol=1e-6)


#: A coarse grid, so that boxes coincide and probabilities tie.
coarse_boxes = st.lists(
    st.fixed_dictionaries(
        {
            **{key: st.sampled_from([0.25, 0.375, 0.5]) for key in "xy"},
            **{key: st.sampled_from([0.25, 0.375, 0.75]) for key in "wh"},
            "objectness": st.sampled_from([0.0, 0.5, 1.0, 1.0]),
            "probs": st.lists(st.sampled_from([0.0, 0.0, 0.25, 0.5]), min_size=3, max_size=3),
        }
    ),
    max_size=9,
)


@settings(max_examples=150, deadline=None)
@given(boxes=coarse_boxes, kind=st.sampled_from(list(NMS_KINDS)), thresh=st.sampled_from([0.1, 0.37, 0.61]))
def test_as_naive_with_ties_and_objects_of_none(boxes, kind, thresh):
    assume(tie_free(boxes, thresh, EXPONENTS[kind]))
    found = suppress(candidates_of(boxes, 3), nms=thresh, kind=kind, beta=0.8)
    check(found, naive_boxes.suppress(boxes, thresh, EXPONENTS[kind]))


@pytest.mark.parametrize("kind", list(NMS_KINDS))
def test_as_naive_beyond_one_chunk(kind):
    candidates = random_candidates(300, 2, size=0.1)  # more than 64 boxes of a class are kept
    boxes = as_boxes(candidates)
    assert tie_free(boxes, 0.45, EXPONENTS[kind])
    found = suppress(candidates, nms=0.45, kind=kind, beta=0.8)
    check(found, naive_boxes.suppress(boxes, 0.45, EXPONENTS[kind]))
    assert (found.probs > 0).sum(axis=0).min() > 64
    assert (found.probs > 0).sum() < (candidates.probs > 0).sum()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), kind=st.sampled_from(list(NMS_KINDS)))
def test_idempotent_and_independent_of_order(seed, kind):
    candidates = random_candidates(30, 3, seed)
    before = candidates.probs.copy()
    once = suppress(candidates, nms=0.4, kind=kind)
    twice = suppress(once, nms=0.4, kind=kind)
    assert_array_equal(candidates.probs, before)
    assert entries(once) == entries(twice)
    mixed = np.random.default_rng(seed).permutation(30)
    shuffled = Candidates(candidates.cxcywh[mixed], candidates.objectness[mixed], candidates.probs[mixed])
    assert entries(suppress(shuffled, nms=0.4, kind=kind)) == entries(once)


def entries(candidates):
    return {tuple(map(float, row)) for row in golden_heads.rows(candidates)}


def test_distance_saves_what_iou_suppresses():
    cxcywh = np.array([[0.5, 0.5, 0.2, 0.2], [0.56, 0.5, 0.2, 0.2]], np.float32)  # IoU .538, (d2/c2)**.6 = .13
    candidates = Candidates(cxcywh, np.ones(2, np.float32), np.array([[0.9], [0.8]], np.float32))
    darknets = ("default", "cornersnms", "greedynms", "diounms")
    kept = {kind: int((suppress(candidates, nms=0.45, kind=kind, beta=9.0).probs > 0).sum()) for kind in darknets}
    assert kept == {"default": 1, "cornersnms": 1, "greedynms": 2, "diounms": 1}  # beta 9 leaves nothing to subtract


def test_boxes_that_are_not_numbers_hide_nothing():
    sizes = np.array([[np.inf, 0.2], [np.nan, 0.2], [0, 0], [0, 0]], np.float32)
    cxcywh = np.concatenate((np.full((4, 2), 0.5, np.float32), sizes), axis=1)
    candidates = Candidates(cxcywh, np.ones(4, np.float32), np.full((4, 1), 0.5, np.float32))
    with np.errstate(all="ignore"):  # with the JIT off the kernels are NumPy, which warns
        for kind in NMS_KINDS:
            assert (suppress(candidates, nms=0.1, kind=kind).probs > 0).all()


def test_zero_switches_suppression_off():
    candidates = random_candidates(20, 2)
    assert suppress(candidates, nms=0) is candidates


@pytest.mark.parametrize(("n", "classes"), [(0, 3), (4, 0)])
def test_nothing_to_suppress(n, classes):
    assert suppress(random_candidates(n, classes), nms=0.45).probs.shape == (n, classes)


def test_impossible_options():
    candidates = random_candidates(2, 1)
    for nms in (-0.1, 1.1, float("nan")):
        with pytest.raises(OptionError, match="between 0 and 1"):
            suppress(candidates, nms=nms)
    with pytest.raises(OptionError, match="greedynms"):
        suppress(candidates, nms=0.5, kind="softnms")
