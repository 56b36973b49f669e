"""Geometric and photometric distortions, against pixels: where a thing is drawn and what colour it has."""

import colorsys

import cv2
import numpy as np
import pytest
from coloured_scenes import freeze, scene
from hypothesis import given, settings
from hypothesis import strategies as st

from training.augment import plain
from training.augment.geometric import LOOSENING, View, bounded_angle, clip_boxes, random_view, warp
from training.augment.photometric import Colours, add_noise, blur, blur_background, random_colours, recolour
from training.sample import Sample


def whole(rectangle, size):
    """A picture of `size` with one white box."""
    image = np.zeros((size[1], size[0], 3), np.uint8)
    left, top, right, bottom = rectangle
    image[top:bottom, left:right] = 255
    return Sample(image, np.array([3]), np.array([rectangle], np.float32))


def bright_box(image):
    """Left, top, right, bottom of what is brighter than half way from the border's grey to white, or None."""
    rows, columns = np.nonzero(image[..., 0] > 185)
    return (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) if len(rows) else None


# Geometry.

view_sizes = st.tuples(st.integers(90, 160), st.integers(90, 160))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.data(),
    view_sizes,
    view_sizes,
    st.floats(0, 0.3),
    st.floats(0.5, 2),
    st.booleans(),
    st.sampled_from([(0.0, 0.0), (8.0, 0.0), (0.0, 0.1), (8.0, 0.1)]),
    st.integers(0, 2**32),
)
def test_boxes_follow_the_pixels(data, source, size, jitter, resize, flip, angle_and_tilt, seed):
    left, top = data.draw(st.integers(0, source[0] - 40)), data.draw(st.integers(0, source[1] - 40))
    right, bottom = data.draw(st.integers(left + 20, source[0])), data.draw(st.integers(top + 20, source[1]))
    sample = freeze(whole((left, top, right, bottom), source))
    if 1 / max(resize, 1) - 2 * jitter < 0.15:
        jitter = 0.1
    angle, tilt = angle_and_tilt
    view = random_view(
        np.random.default_rng(seed), size, jitter=jitter, resize=resize, flip=flip, angle=angle, perspective=tilt
    )
    seen = warp(sample, view, size, visible=0, smallest=6)
    assert seen.image.shape == (size[1], size[0], 3)
    expected = bright_box(seen.image)
    if len(seen.xyxy):
        assert seen.class_id.tolist() == [3]
        # Turned and then cut by the border, the upright box around the corners is wider than what shows.
        cut = np.any(seen.xyxy[0] < 0.5) or seen.xyxy[0, 2] > size[0] - 0.5 or seen.xyxy[0, 3] > size[1] - 0.5
        if angle or tilt:
            if not cut:
                np.testing.assert_allclose(seen.xyxy[0], expected, atol=3)
        else:
            np.testing.assert_allclose(seen.xyxy[0], expected, atol=1.5)
    elif expected is not None:
        assert max(expected[2] - expected[0], expected[3] - expected[1]) <= 8


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (View(0, 0, 100, 80), (10, 20, 40, 60)),
        (View(0, 0, 100, 80, flip=True), (60, 20, 90, 60)),
        (View(7, -5, 107, 75), (17, 15, 47, 55)),
        (View(0, 0, 200, 160), (20, 40, 80, 80)),
        (View(-50, 0, 150, 80), (0, 20, 30, 60)),
        # Both upper corners a tenth to the right: y = 20 moves by 7.5, y = 60 by 2.5.
        (View(0, 0, 100, 80, corners=((0.1, 0), (0.1, 0), (0, 0), (0, 0))), (12.5, 20, 47.5, 60)),
    ],
)
def test_views_in_numbers(view, expected):
    seen = warp(whole((10, 20, 40, 60), (100, 80)), view, (100, 80))
    np.testing.assert_allclose(seen.xyxy, [expected], atol=1e-4)


def test_an_identical_view_is_exact():
    sample = scene(np.random.default_rng(0), 100, 80, 3)
    seen = warp(sample, View(0, 0, 100, 80), (100, 80))
    for got, given_ in zip(seen, sample, strict=True):
        np.testing.assert_array_equal(got, given_)
    mirrored = warp(sample, View(0, 0, 100, 80, flip=True), (100, 80))
    np.testing.assert_array_equal(mirrored.image, sample.image[:, ::-1])


def test_a_quarter_turn_is_clockwise():
    """The angle is bounded for pictures with boxes only."""
    image = np.random.default_rng(1).integers(0, 256, (50, 50, 3), dtype=np.uint8)
    nothing = Sample(image, np.empty(0, np.int64), np.empty((0, 4), np.float32))
    turned = warp(nothing, View(0, 0, 50, 50, angle=90), (50, 50))
    np.testing.assert_array_equal(turned.image, np.rot90(image, -1))
    assert turned.xyxy.shape == (0, 4) and turned.class_id.shape == (0,)


def test_stretching_is_what_resizing_does():
    image = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (60, 90, 3), dtype=np.uint8), (7, 7), 0)
    sample = Sample(image, np.array([1]), np.array([[9, 6, 45, 30]], np.float32))
    stretched, seen = plain(freeze(sample), (120, 50)), warp(sample, View(0, 0, 120, 50), (120, 50))
    inner = np.s_[2:-2, 2:-2]  # the resize repeats the outermost pixels, the warp goes over into grey
    assert np.abs(stretched.image[inner].astype(int) - seen.image[inner]).max() <= 3
    np.testing.assert_allclose(stretched.xyxy, [[12, 5, 60, 25]], rtol=1e-6)
    np.testing.assert_allclose(seen.xyxy, stretched.xyxy, rtol=1e-5)


def test_what_the_picture_does_not_reach_is_grey():
    seen = warp(whole((0, 0, 50, 50), (50, 50)), View(20, 10, 50, 40), (60, 60))
    outside = np.ones((60, 60), bool)
    outside[9:41, 19:51] = False
    assert (seen.image[outside] == 114).all() and (seen.image[11:39, 21:49] == 255).all()


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.floats(-45, 45), st.floats(2, 300), st.floats(2, 300))
def test_turning_loosens_boxes_by_a_bounded_factor(angle, width, height):
    turned = bounded_angle(angle, np.array([[width, height], [10, 10]]))
    assert abs(turned) <= abs(angle) and turned * angle >= 0
    cosine, sine = np.cos(np.radians(turned)), abs(np.sin(np.radians(turned)))
    growth = (width * cosine + height * sine) * (width * sine + height * cosine) / (width * height)
    assert growth <= LOOSENING * (1 + 1e-6)
    if abs(turned) < abs(angle):
        assert growth == pytest.approx(LOOSENING)


def test_warping_turns_pictures_with_boxes_by_the_bounded_angle():
    seen = warp(whole((30, 40, 70, 60), (100, 100)), View(0, 0, 100, 100, angle=40), (100, 100))
    np.testing.assert_allclose(seen.xyxy[0], bright_box(seen.image), atol=1.5)
    assert (seen.xyxy[0, 2:] - seen.xyxy[0, :2]).prod() == pytest.approx(LOOSENING * 800, rel=1e-3)


def test_clipped_boxes():
    boxes = np.array(
        [
            [10, 10, 20, 20],  # inside
            [-10, 0, 10, 10],  # half
            [-20, 0, 4, 10],  # a sixth
            [95, 0, 120, 5],  # a fifth
            [200, 200, 300, 300],  # outside
            [40, 40, 45, 45],  # small
            [40, 40, 42, 47],  # long enough
            [50, 50, 50, 80],  # empty
        ],
        np.float32,
    )
    keep, clipped = clip_boxes(boxes, (0, 0, 100, 100), 0.3, 6)
    assert keep.tolist() == [True, True, False, False, False, False, True, False]
    np.testing.assert_array_equal(clipped[[0, 1, 3]], [[10, 10, 20, 20], [0, 0, 10, 10], [95, 0, 100, 5]])


def test_random_views_stay_within_their_options():
    rng = np.random.default_rng(3)
    for _ in range(300):
        view = random_view(rng, (400, 200), jitter=0.2, flip=True)
        # 1 / (1 - left - right) of the width shows, both in ±0.2; the left edge is -left / (1 - left - right).
        shown = np.array([400 / (view.right - view.left), 200 / (view.bottom - view.top)])
        assert (shown >= 0.6).all() and (shown <= 1.4).all()
        assert abs(view.left * shown[0] / 400) <= 0.2 + 1e-9
    zoomed = [random_view(rng, (400, 200), resize=2) for _ in range(300)]
    scales = np.array([(v.drawn[0] / 400, v.drawn[1] / 200) for v in zoomed])
    np.testing.assert_allclose(scales[:, 0], scales[:, 1])
    assert 0.5 <= scales.min() < 0.6 and 1.7 < scales.max() <= 2
    smaller = [random_view(rng, (400, 200), resize=0.5).drawn[0] for _ in range(100)]
    assert min(smaller) >= 200 and max(smaller) <= 400
    assert random_view(rng, (400, 200)) == View(0, 0, 400, 200)
    assert {random_view(rng, (9, 9), flip=True).flip for _ in range(20)} == {True, False}


# Colours.


@pytest.mark.parametrize(
    "colours",
    [Colours(0.1), Colours(-0.3), Colours(0, 1.5), Colours(0, 0.6), Colours(0, 1, 1.4), Colours(0.07, 0.7, 0.8)],
)
def test_colours_against_colorsys(colours):
    rng = np.random.default_rng(4)
    image = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
    expected = np.empty(image.shape)
    for at in np.ndindex(24, 24):
        hue, saturation, value = colorsys.rgb_to_hsv(*(image[at][::-1] / 255))
        saturation, value = min(1, saturation * colours.saturation), min(1, value * colours.exposure)
        expected[at] = colorsys.hsv_to_rgb((hue + colours.hue) % 1, saturation, value)[::-1]
    error = np.abs(recolour(image, colours) - 255 * expected)
    # A hue has six sectors of 43 levels: one level off is six grey levels, times the exposure.
    assert error.max() < 11 and error.mean() < 1.6 and np.abs(np.mean(recolour(image, colours) - 255 * expected)) < 0.3


def test_no_hue_drifts():
    """All hues at full saturation keep their place on the circle on average; one level would be 1.4 degrees."""
    wheel = np.array([[colorsys.hsv_to_rgb(i / 999, 1, 1)[::-1] for i in range(999)]])
    seen = recolour((255 * wheel).round().astype(np.uint8), Colours(exposure=0.9)) / 255
    turned = [colorsys.rgb_to_hsv(*pixel[::-1])[0] - i / 999 for i, pixel in enumerate(seen[0])]
    drift = (np.array(turned) + 0.5) % 1 - 0.5
    assert abs(360 * drift.mean()) < 0.3 and abs(360 * drift[-300:].mean()) < 0.3


def test_contrast_and_grey():
    image = np.random.default_rng(4).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    contrasted = recolour(image, Colours(contrast=1.3))
    np.testing.assert_allclose(contrasted, (127.5 + 1.3 * (image - 127.5)).clip(0, 255), atol=0.51)
    grey = recolour(image, Colours(grey=True, exposure=0.5, hue=0.3, saturation=2))
    luminance = image @ np.array([0.114, 0.587, 0.299])
    np.testing.assert_allclose(grey, np.repeat(luminance[..., None], 3, axis=2) / 2, atol=1.1)
    same = recolour(image, Colours())
    np.testing.assert_array_equal(same, image)
    assert not np.shares_memory(same, image)


def test_random_colours():
    rng = np.random.default_rng(5)
    drawn = [random_colours(rng, hue=0.1, saturation=1.5, exposure=2, contrast=1.2, grey=0.25) for _ in range(800)]
    hue, saturation, exposure, contrast, grey = np.array(drawn).T
    assert np.abs(hue).max() <= 0.1 and abs(hue.mean()) < 0.01
    for factor, most in ((saturation, 1.5), (exposure, 2), (contrast, 1.2)):
        assert 1 / most <= factor.min() and factor.max() <= most and 0.43 < (factor < 1).mean() < 0.57
    assert 0.2 < grey.mean() < 0.3
    assert random_colours(rng) == Colours()


def test_noise():
    image = np.full((120, 100, 3), 128, np.uint8)
    noise = add_noise(image, np.random.default_rng(6), 10).astype(float) - 128
    assert abs(noise.mean()) < 0.3 and noise.std() == pytest.approx(10, rel=0.03)
    within = (np.abs(noise) <= 10).mean()
    assert within == pytest.approx(0.68, abs=0.04)
    assert np.abs(np.corrcoef(noise.reshape(-1, 3).T) - np.eye(3)).max() < 0.03
    dark = add_noise(np.zeros((50, 50, 3), np.uint8), np.random.default_rng(6), 20)
    assert 0.4 < (dark == 0).mean() < 0.6 and dark.max() < 80  # clipped, not wrapped around


def test_blur():
    dot = np.zeros((41, 41, 3), np.uint8)
    dot[20, 20] = 255
    bell = np.zeros(41)
    bell[18:23] = np.array([1, 4, 6, 4, 1]) / 16  # the binomial kernel of 5
    for size in (4, 5):
        np.testing.assert_allclose(blur(dot, size)[..., 1], 255 * np.outer(bell, bell), atol=1)
    for size in (0, 1):
        np.testing.assert_array_equal(blur(dot, size), dot)


def test_blurred_background():
    image = np.random.default_rng(7).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    sample = freeze(Sample(image, np.array([0]), np.array([[10.5, 20, 30, 39.5]], np.float32)))
    seen = blur_background(sample)
    np.testing.assert_array_equal(seen[20:40, 10:30], image[20:40, 10:30])
    assert seen[45:].std() < image[45:].std() / 3
