"""Work that is bounded: what NMS does with more boxes than anybody looks at."""

import numpy as np
import pytest

from darknet_py.boxes import nms as nms_module
from darknet_py.boxes.decode import Candidates
from darknet_py.boxes.kernels.region_rows import suppress_rows
from darknet_py.boxes.nms import suppress


def grid(count: int, classes: int, seed: int = 0) -> Candidates:
    """Boxes side by side, of which none overlaps another, with different probabilities."""
    random = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(count)))
    cxcywh = np.full((count, 4), 0.5 / side, np.float32)
    cxcywh[:, 0], cxcywh[:, 1] = np.arange(count) % side / side, np.arange(count) // side / side
    probs = random.permutation(count * classes).reshape(count, classes).astype(np.float32) / (count * classes) + 1e-3
    return Candidates(cxcywh, np.ones(count, np.float32), probs)


@pytest.mark.parametrize("classes", [1, 3])
def test_work_is_bounded(classes, monkeypatch, caplog):
    """The likeliest boxes of each class stay where all would be too many to compare."""
    boxes = grid(500, classes)
    monkeypatch.setattr(nms_module, "MOST_COMPARISONS", 500 * 500 * classes * classes)
    unbounded = suppress(boxes, nms=0.45)
    assert np.count_nonzero(unbounded.probs) == 500 * classes and not caplog.records
    monkeypatch.setattr(nms_module, "MOST_COMPARISONS", 100 * 100 * classes + 50)
    found = suppress(boxes, nms=0.45)
    for k in range(classes):
        expected = np.sort(boxes.probs[:, k])[-100:]
        np.testing.assert_array_equal(np.sort(found.probs[found.probs[:, k] > 0, k]), expected)
    (record,) = caplog.records
    assert record.getMessage() == (
        "NMS: 500 boxes, up to 500 of a class: only the likeliest 100 of each class are compared, the others are "
        "dropped (raise thresh)"
    )


def test_a_class_of_few_boxes_leaves_room_for_others(monkeypatch):
    boxes = grid(500, 2)
    boxes.probs[30:, 1] = 0
    monkeypatch.setattr(nms_module, "MOST_COMPARISONS", 30 * 30 + 400 * 400)
    assert np.count_nonzero(suppress(boxes, nms=0.45).probs, axis=0).tolist() == [400, 30]


def test_an_absurd_number_of_boxes(monkeypatch):
    """Of which all would take hours to compare."""
    assert int(nms_module.MOST_COMPARISONS**0.5) == 46340
    monkeypatch.setattr(nms_module, "MOST_COMPARISONS", 1 << 26)
    found = suppress(grid(400_000, 1), nms=0.45)
    assert np.count_nonzero(found.probs) == 1 << 13 and len(found) == 400_000


def test_opencv_rows_are_bounded_too():
    boxes = grid(20_000, 1)
    rows = np.concatenate([boxes.cxcywh, boxes.objectness[:, None], boxes.probs], axis=1)
    likeliest = np.sort(rows[:, 5])[-16384:]
    order, kept = np.empty((2, len(rows)), np.int64)
    suppress_rows(rows, 0.4, order, kept)
    np.testing.assert_array_equal(np.sort(rows[rows[:, 5] > 0, 5]), likeliest)
