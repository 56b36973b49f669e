"""Anchors: planted clusters are found again, fits are those of scalar loops, and the command prints a cfg's line."""

import itertools
import re

import naive_loss
import numpy as np
import pytest
from click.testing import CliRunner
from numpy.testing import assert_allclose, assert_array_equal

from darknet_py.errors import OptionError
from training.anchors import main, mean_best_iou, optimise, refine, training_sizes

PLANTED = np.array([[10, 14], [30, 12], [25, 40], [60, 60], [150, 90], [120, 300.0]])


def planted_sizes(seed=0, spread=0.05, count=80):
    rng = np.random.default_rng(seed)
    return np.concatenate([anchor * np.exp(rng.normal(0, spread, (count, 2))) for anchor in PLANTED])


def any_sizes(count=300, seed=1):
    return np.exp(np.random.default_rng(seed).uniform(np.log(5), np.log(400), (count, 2)))


def naive_mean_best_iou(sizes, anchors):
    return np.mean([max(naive_loss.shape_overlap(*size, *anchor) for anchor in anchors) for size in sizes.tolist()])


def test_mean_best_iou_as_naive():
    sizes, anchors = any_sizes(), any_sizes(7, 2)
    assert mean_best_iou(sizes, anchors) == pytest.approx(naive_mean_best_iou(sizes, anchors.tolist()), rel=1e-12)


def test_mean_best_iou_by_hand():
    assert mean_best_iou(np.array([[2, 2], [4, 2], [1, 8]]), np.array([[2, 2], [2, 8]])) == (1 + 1 / 2 + 1 / 2) / 3


@pytest.mark.parametrize("seed", range(5))
def test_planted_clusters_are_found(seed):
    sizes = planted_sizes(seed)
    means = sizes.reshape(len(PLANTED), -1, 2).mean(1)
    anchors = optimise(np.random.default_rng(seed).permutation(sizes), len(PLANTED), seed)
    assert_allclose(anchors, means[np.argsort(means.prod(1))], rtol=1e-12)


def test_small_case_is_the_best_of_all_partitions():
    """Of all ways to split eight boxes into two clusters none has means with a better fit (k-means could miss it)."""
    sizes = np.array([[10, 10], [12, 9], [9, 13], [11, 12], [50, 20], [45, 25], [60, 22], [52, 28.0]])
    fits = []
    for split in itertools.product((False, True), repeat=7):
        second = np.array([False, *split])
        if second.any():
            fits.append(naive_mean_best_iou(sizes, [sizes[~second].mean(0).tolist(), sizes[second].mean(0).tolist()]))
    assert mean_best_iou(sizes, optimise(sizes, 2, 0)) == pytest.approx(max(fits), rel=1e-12)


def test_anchors_are_at_rest():
    """Each is the mean of the boxes nearest to it: the condition that k-means ends on."""
    sizes = any_sizes()
    anchors = optimise(sizes, 5, 0)
    fits = [[naive_loss.shape_overlap(*size, *anchor) for anchor in anchors.tolist()] for size in sizes.tolist()]
    nearest = np.argmax(fits, 1)
    assert_allclose(anchors, [sizes[nearest == k].mean(0) for k in range(5)], rtol=1e-12)


def test_ascending_area_and_seed():
    sizes = any_sizes()
    anchors = optimise(sizes, 9, 4)
    assert anchors.shape == (9, 2) and anchors.dtype == np.float64
    assert (np.diff(anchors.prod(1)) >= 0).all()
    assert_array_equal(anchors, optimise(sizes.astype(np.float64), 9, 4))


def test_as_many_anchors_as_sizes():
    sizes = np.repeat([[8, 4], [3, 3], [20, 30.0]], 5, axis=0)
    anchors = optimise(sizes, 3, 0)
    assert_allclose(anchors, [[3, 3], [8, 4], [20, 30]])
    assert mean_best_iou(sizes, anchors) == pytest.approx(1)


def test_refinement_gains():
    sizes = any_sizes()
    plain, refined = optimise(sizes, 4, 0), optimise(sizes, 4, 0, generations=40)
    assert mean_best_iou(sizes, refined) > mean_best_iou(sizes, plain) + 0.001
    assert (np.diff(refined.prod(1)) >= 0).all()


def test_refinement_of_one_anchor_is_the_best_there_is():
    """Against a fine grid."""
    sizes = any_sizes(60)
    axis = np.geomspace(20, 200, 60)
    best = max(mean_best_iou(sizes, np.array([pair])) for pair in itertools.product(axis, axis))
    refined = refine(sizes, np.array([[60.0, 60.0]]), generations=60, seed=0)
    assert mean_best_iou(sizes, refined) > best - 1e-4


def test_refinement_never_loses():
    sizes = np.full((5, 2), 10.0)
    assert_array_equal(refine(sizes, sizes[:1], generations=3, seed=0), sizes[:1])


@pytest.mark.parametrize(
    ("sizes", "count", "message"),
    [
        ([[1, 1], [2, 2]], 3, "expected 1 to 2"),
        ([[1, 1], [1, 1]], 2, "expected 1 to 1"),
        ([[1, 1]], 0, "expected 1 to 1"),
        ([[1, 0]], 1, "positive"),
        ([[1, np.nan]], 1, "positive"),
        (np.zeros((0, 2)), 1, "0 different sizes"),
    ],
)
def test_impossible_arguments(sizes, count, message):
    with pytest.raises(OptionError, match=message):
        optimise(np.array(sizes, float), count, 0)


@pytest.fixture
def data_file(tmp_path):
    """A data file whose label files hold the planted sizes, in a 400x400 network; there are no images."""
    boxes = np.random.default_rng(0).permutation(planted_sizes(count=20)) / 400
    for k, part in enumerate(np.array_split(boxes, 7)):
        (tmp_path / f"{k}.txt").write_text("".join(f"1 0.5 0.5 {w:.6f} {h:.6f}\n" for w, h in part))
    (tmp_path / "train.txt").write_text("".join(f"{k}.jpg\n" for k in range(7)))
    (tmp_path / "pets.data").write_text("classes = 2\ntrain = train.txt\n")
    return tmp_path / "pets.data"


def test_training_sizes(data_file):
    sizes = training_sizes(data_file, (400, 800))
    assert_allclose(sizes, np.random.default_rng(0).permutation(planted_sizes(count=20)) * (1, 2), atol=1e-3)


def test_command(data_file):
    result = CliRunner().invoke(main, [str(data_file), "--count", "6", "--size", "400x400"])
    assert result.exit_code == 0, result.output
    line, fit = result.output.splitlines()
    assert re.fullmatch(r"anchors = (\d+,\d+)(,  \d+,\d+){5}", line)
    anchors = np.array([int(number) for number in re.findall(r"\d+", line)]).reshape(6, 2)
    assert_allclose(anchors, PLANTED, rtol=0.1)
    expected = naive_mean_best_iou(planted_sizes(count=20), anchors.tolist())
    assert fit == f"mean IoU of 120 boxes: {expected:.4f}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--size", "416"], "'416' is no size; expected for example 416x416"),
        (["--size", "0x416"], "is no size"),
        (["--count", "500"], "count=500 anchors of 120 different sizes"),
    ],
)
def test_command_errors(data_file, arguments, message):
    result = CliRunner().invoke(main, [str(data_file), *arguments])
    assert result.exit_code != 0 and message in result.output


def test_command_without_training_list(tmp_path):
    (tmp_path / "pets.data").write_text("classes = 2\n")
    result = CliRunner().invoke(main, [str(tmp_path / "pets.data")])
    assert result.exit_code == 1 and "no training list; expected a line such as 'train = train.txt'" in result.output
