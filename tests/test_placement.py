"""Where labels go: inside the picture, clear of each other and of small boxes, with lines that lead to their boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darknet_py.draw.placement import Layout, Place, Rect

WIDTH, HEIGHT = 400, 300


def layout(*boxes: Rect, margin: int = 1, step: int = 4) -> Layout:
    return Layout(WIDTH, HEIGHT, boxes, margin, step)


def overlap(one: Rect, other: Rect) -> int:
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    return max(width, 0) * max(height, 0)


def on_edge(point: tuple[int, int], rect: Rect) -> bool:
    x, y = point
    inside = rect.left <= x < rect.right and rect.top <= y < rect.bottom
    return inside and (x in (rect.left, rect.right - 1) or y in (rect.top, rect.bottom - 1))


@st.composite
def boxes(draw: st.DrawFn) -> Rect:
    left, top = draw(st.integers(0, WIDTH - 1)), draw(st.integers(0, HEIGHT - 1))
    return Rect(left, top, draw(st.integers(left + 1, WIDTH)), draw(st.integers(top + 1, HEIGHT)))


labelled = st.tuples(boxes(), st.integers(4, 80), st.sampled_from([16, 16, 32]))


def check(placed: list[tuple[Rect, Place]]) -> None:
    for box, (rect, leader) in placed:
        assert rect.left >= 0 and rect.top >= 0 and rect.right <= WIDTH and rect.bottom <= HEIGHT
        if leader is None:
            wider = Rect(box.left - 1, box.top - 1, box.right + 1, box.bottom + 1)
            assert overlap(rect, wider)
        else:
            assert on_edge(leader[0], rect) and on_edge(leader[1], box)


@settings(max_examples=100, deadline=None)
@given(st.lists(labelled, min_size=1, max_size=7))
def test_labels_are_clear_of_each_other(rows: list[tuple[Rect, int, int]]) -> None:
    # Seven of this size leave room for an eighth, wherever they are.
    places = layout(*(row[0] for row in rows))
    placed = [(box, places.place(box, width, height)) for box, width, height in rows]
    check(placed)
    for i, (_, (rect, _)) in enumerate(placed):
        assert not any(overlap(rect, other) for _, (other, _) in placed[:i])


@settings(max_examples=20, deadline=None)
@given(st.lists(labelled, min_size=100, max_size=120), st.randoms(use_true_random=False))
def test_a_full_picture(rows: list[tuple[Rect, int, int]], random: object) -> None:
    placed = []
    for _ in range(2):
        places = layout(*(row[0] for row in rows))
        placed.append([(box, places.place(box, width, height)) for box, width, height in rows])
    check(placed[0])
    assert placed[0] == placed[1]


def test_four_places_in_their_order() -> None:
    box = Rect(100, 100, 200, 180)
    places = layout(box, margin=0)
    found = [places.place(box, 60, 20) for _ in range(4)]
    assert [place.rect.top for place in found] == [80, 100, 180, 160]  # above, inside, below, inside
    assert {(place.rect.left, place.leader) for place in found} == {(100, None)}
    assert places.place(box, 60, 20).rect not in [place.rect for place in found]


def test_margins_between_labels() -> None:
    box = Rect(100, 100, 200, 180)
    places = layout(box, margin=3)
    found = [places.place(box, 60, 20).rect for _ in range(6)]
    for i, one in enumerate(found):
        wider = Rect(one.left - 3, one.top - 3, one.right + 3, one.bottom + 3)
        assert not any(overlap(wider, other) for other in found[:i])


def test_leaders_when_all_is_taken() -> None:
    box = Rect(150, 140, 170, 160)
    places = layout(box)
    found = [places.place(box, 60, 16) for _ in range(20)]
    assert found[0].leader is None and found[-1].leader is not None
    check([(box, place) for place in found])
    lengths = [np.hypot(*np.subtract(*place.leader)) for place in found if place.leader]
    assert len(lengths) >= 8 and max(lengths) < 120  # near, as there is room


@pytest.mark.parametrize("where", ["above", "below"])
def test_small_boxes_stay_visible(where: str) -> None:
    box, small = Rect(100, 100, 300, 250), Rect(110, 85, 125, 97)
    alone = layout(box).place(box, 60, 16).rect
    assert overlap(alone, small) > 0
    assert overlap(layout(box, small).place(box, 60, 16).rect, small) == 0
    assert overlap(layout(small).place(small, 60, 16).rect, small) == 0  # its own box, too


def test_a_large_box_may_be_written_on() -> None:
    box, around = Rect(100, 100, 300, 250), Rect(0, 0, WIDTH, HEIGHT)
    assert layout(box, around).place(box, 60, 16) == layout(box).place(box, 60, 16)
    assert layout(around).place(around, 60, 16) == Place(Rect(0, 0, 60, 16), None)


def hidden_leaders(seed: int) -> tuple[float, int]:
    """How many leader lines of a crowded picture run beneath labels, by their length, and how many there are."""
    rng = np.random.default_rng(seed)
    corners, sizes = rng.integers(60, (300, 210), (40, 2)).tolist(), rng.integers(8, 60, (40, 2)).tolist()
    crowd = [
        Rect(*corner, corner[0] + size[0], corner[1] + size[1]) for corner, size in zip(corners, sizes, strict=True)
    ]
    places = layout(*crowd)
    found = [places.place(box, 50, 14) for box in crowd]
    leaders = [(i, place.leader) for i, place in enumerate(found) if place.leader]
    hidden = 0
    for i, (start, end) in leaders:
        others = [place.rect for j, place in enumerate(found) if j != i]
        points = np.rint(np.linspace(start, end, 50)).astype(int).tolist()
        hidden += sum(any(overlap(Rect(x, y, x + 1, y + 1), other) for other in others) for x, y in points)
    return hidden / 50, len(leaders)


def test_leaders_keep_clear_of_labels() -> None:
    counts = np.sum([hidden_leaders(seed) for seed in range(6)], axis=0)
    assert counts[1] > 50
    assert counts[0] / counts[1] < 0.2  # 0.33 if the nearest place is taken whatever its line crosses


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3)])
def test_labels_larger_than_the_picture(size: tuple[int, int]) -> None:
    box = Rect(0, 0, *size)
    places = Layout(*size, [box], 1, 4)
    for _ in range(3):
        rect = places.place(box, 20, 12).rect
        assert (rect.right - rect.left, rect.bottom - rect.top) == (20, 12)
        assert overlap(rect, box) > 0
