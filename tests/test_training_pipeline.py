"""Batches of distorted pictures: reproducible, complete, and made ahead."""

import threading
from dataclasses import replace

import numpy as np
import pytest
from coloured_scenes import PALETTE, Scenes, check_colours, scene

from darknet_py.errors import OptionError
from training.augment import AugmentOptions, Pipeline, plain, to_batch
from training.sample import Sample

EVERYTHING = AugmentOptions(
    resize=1.5,
    flip=1,
    angle=5.0,
    perspective=0.05,
    contrast=1.3,
    blur=5,
    gaussian_noise=8.0,
    grey=0.2,
    mosaic=0.5,
    mosaic_zoom=0.5,
    cutmix=0.3,
)
NOTHING = AugmentOptions(jitter=0.0, hue=0.0, saturation=1.0, exposure=1.0)


@pytest.fixture(scope="module")
def scenes():
    rng = np.random.default_rng(13)
    return Scenes([scene(rng, 160, 120, n % 4) for n in range(9)])


@pytest.mark.parametrize("options", [EVERYTHING, NOTHING, AugmentOptions(mosaic=1.0), AugmentOptions(cutmix=1.0)])
def test_batches(scenes, options):
    before = [sample.image.copy() for sample in scenes.samples]
    images, truth = Pipeline(scenes, options, 7).batch(3, (128, 96), 6)
    assert images.shape == (6, 3, 96, 128) and images.dtype == np.float32 and images.flags.c_contiguous
    assert images.min() >= 0 and images.max() <= 1
    assert truth.dtype == np.float32 and truth.ndim == 2 and truth.shape[1] == 6 and len(truth)
    assert set(truth[:, 0]) <= set(range(6)) and set(truth[:, 1]) <= set(range(4))
    assert (truth[:, 2:4] - truth[:, 4:] / 2 >= -1e-6).all() and (truth[:, 2:4] + truth[:, 4:] / 2 <= 1 + 1e-6).all()
    for sample, image in zip(scenes.samples, before, strict=True):
        np.testing.assert_array_equal(sample.image, image)


@pytest.mark.parametrize("mixing", [{}, {"mosaic": 1.0, "mosaic_zoom": 0.5}])
def test_boxes_of_batches_have_their_colour(scenes, mixing):
    """RGB planes against the palette, over the whole way from scenes to truth."""
    options = replace(NOTHING, jitter=0.2, flip=1, visible=0.9, **mixing)
    images, truth = Pipeline(scenes, options, 1).batch(0, (128, 96), 24)
    assert len(truth) > 10
    for place, label, x, y, _, _ in truth:
        rgb = images[int(place), :, int(y * 96), int(x * 128)]
        np.testing.assert_allclose(rgb, PALETTE[int(label)][::-1] / 255, atol=0.01)
    for place in range(4):
        check_colours(Pipeline(scenes, options, 1).picture(0, place, (128, 96)), border=3)


def test_every_option_of_the_pipeline_acts(scenes):
    """Against the same pictures without it: one that is off still draws its numbers, the rest stays the same."""
    mosaics = replace(NOTHING, mosaic=1.0)
    size = (128, 96)
    without = [Pipeline(scenes, mosaics, 2).picture(0, place, size) for place in range(40)]

    def changed(**options):
        pipeline = Pipeline(scenes, replace(mosaics, **options), 2)
        return [
            (np.abs(pipeline.picture(0, place, size).image.astype(int) - without[place].image) > 1)
            for place in range(40)
        ]

    for options, share in [({"gaussian_noise": 20.0}, 0.5), ({"blur": 9}, 2 / 3), ({"exposure": 2.0}, 1)]:
        assert np.mean([mask.any() for mask in changed(**options)]) == pytest.approx(share, abs=0.25)
    quarters = np.array([[mask[:9, :9].any(), mask[-9:, -9:].any()] for mask in changed(contrast=2.0)])
    # Black and full colours change only where the factor is below 1: half of the time, in each quarter by itself.
    assert quarters.mean() == pytest.approx(0.5, abs=0.15)
    assert (quarters[:, 0] != quarters[:, 1]).mean() == pytest.approx(0.5, abs=0.2)
    zoomed = Pipeline(scenes, replace(mosaics, mosaic_zoom=0.3), 2).batch(0, size, 40)[1]
    # More objects show, and smaller ones.
    assert len(zoomed) > 1.2 * sum(len(sample.xyxy) for sample in without)


def test_pictures_with_small_objects_stay_sharp():
    image = np.random.default_rng(1).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    for side, sharp in ((12, True), (50, False)):
        source = Scenes([Sample(image, np.array([0]), np.array([[2, 2, 2 + side, 58]], np.float32))])
        pipeline = Pipeline(source, replace(NOTHING, blur=5), 0)
        inside = [pipeline.picture(0, place, (60, 60)).image[10:50, 4 : side - 2] for place in range(20)]
        assert all(np.array_equal(part, image[10:50, 4 : side - 2]) for part in inside) == sharp


def test_pictures_depend_on_seed_iteration_and_place_alone(scenes):
    pipeline = Pipeline(scenes, EVERYTHING, 7)
    many, _ = pipeline.batch(5, (64, 64), 4)
    few, _ = Pipeline(scenes, EVERYTHING, 7).batch(5, (64, 64), 2)
    np.testing.assert_array_equal(many[:2], few)
    assert not np.array_equal(many[0], many[1])
    for other in (Pipeline(scenes, EVERYTHING, 8).batch(5, (64, 64), 4), pipeline.batch(6, (64, 64), 4)):
        assert not np.array_equal(other[0], many)


def test_a_stream_is_its_batches(scenes):
    pipeline = Pipeline(scenes, EVERYTHING, 7)
    schedule = [(0, (64, 64)), (1, (96, 64)), (2, (64, 96)), (7, (64, 64)), (8, (32, 32))]
    for ahead in (0, 1, 9):
        streamed = list(pipeline.stream(schedule, 2, ahead))
        assert len(streamed) == len(schedule)
        for (images, truth), (iteration, size) in zip(streamed, schedule, strict=True):
            expected = pipeline.batch(iteration, size, 2)
            np.testing.assert_array_equal(images, expected[0])
            np.testing.assert_array_equal(truth, expected[1])
    assert list(pipeline.stream([], 2)) == []


def running():
    return [thread for thread in threading.enumerate() if thread.name.startswith("augment")]


def test_closing_a_stream_ends_its_thread(scenes):
    stream = Pipeline(scenes, NOTHING, 0).stream(((i, (32, 32)) for i in range(10**9)), 2)
    next(stream)
    assert running()
    stream.close()
    assert not running()


def test_errors_of_the_thread_reach_the_consumer(scenes):
    class Damaged(Scenes):
        def sample(self, index):
            raise OSError("damaged picture")

    stream = Pipeline(Damaged(scenes.samples), NOTHING, 0).stream([(0, (32, 32))] * 9, 2)
    with pytest.raises(OSError, match="damaged picture"):
        next(stream)
    assert not running()


def test_sources_are_asked_for_the_size_drawn(scenes):
    asked = []

    class Reduced(Scenes):
        def sample_at_least(self, index, size):
            asked.append(size)
            return self.sample(index)

    Pipeline(Reduced(scenes.samples), NOTHING, 0).batch(0, (64, 32), 3)
    assert asked == [(64, 32)] * 3
    Pipeline(Reduced(scenes.samples), replace(NOTHING, reduce=False), 0).batch(0, (64, 32), 3)
    assert len(asked) == 3


def test_without_distortion_a_picture_is_stretched(scenes):
    only = Scenes(scenes.samples[3:4])
    images, truth = Pipeline(only, NOTHING, 0).batch(0, (160, 120), 1)
    expected_images, expected_truth = to_batch([plain(only.sample(0), (160, 120))])
    np.testing.assert_array_equal(images, expected_images)
    np.testing.assert_allclose(truth, expected_truth, atol=1e-6)
    np.testing.assert_allclose(images[0] * 255, only.sample(0).image.transpose(2, 0, 1)[::-1], atol=1e-3)


def test_pictures_without_objects():
    empty = Sample(np.zeros((40, 30, 3), np.uint8), np.empty(0, np.int64), np.empty((0, 4), np.float32))
    for options in (replace(EVERYTHING, mosaic=1.0, cutmix=1.0), replace(EVERYTHING, mosaic=0.0)):
        images, truth = Pipeline(Scenes([empty]), options, 0).batch(0, (48, 32), 6)
        assert images.shape == (6, 3, 32, 48) and truth.shape == (0, 6) and truth.dtype == np.float32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"jitter": -0.1}, "jitter = -0.1, expected 0 to 0.5"),
        ({"saturation": 0.5}, "saturation = 0.5, expected 1 to"),
        ({"mosaic": float("nan")}, "mosaic = nan"),
        ({"perspective": 0.3}, "perspective"),
        ({"jitter": 0.3, "resize": 3.0}, "leaves 0% of a picture's side"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(OptionError, match=message):
        AugmentOptions(**options)


def test_wrong_pipelines(scenes):
    with pytest.raises(OptionError, match="no images"):
        Pipeline(Scenes([]), NOTHING, 0)
    with pytest.raises(OptionError, match="seed = -1"):
        Pipeline(scenes, NOTHING, -1)
