"""Data files, image lists and label files of the trainer."""

import logging

import cv2
import numpy as np
import pytest
from PIL import Image

from training.datafile import DataError, ImageList, label_path, read_data, write_labels
from training.sample import Sample


def picture(width, height, seed=0):
    """Smooth, so that JPEG hardly changes it."""
    small = np.random.default_rng(seed).integers(0, 256, (3, 4, 3), dtype=np.uint8)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def photos(tmp_path):
    """A list of two photos in images/, the first with two labels, the second with an empty label file."""
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    for name in ("one", "two"):
        cv2.imwrite(str(tmp_path / "images" / f"{name}.jpg"), picture(120, 80))
        (tmp_path / "labels" / f"{name}.txt").write_text("")
    (tmp_path / "labels" / "one.txt").write_text("0 0.5 0.5 0.5 0.25\n\n2 0.1 0.9 0.2 0.2\n")
    (tmp_path / "train.txt").write_text("images/one.jpg\n\nimages/two.jpg\n")
    return tmp_path


# The data file.


def test_a_data_file(tmp_path):
    (tmp_path / "pets.names").write_text("cat\ndog\n")
    (tmp_path / "pets.data").write_text(
        "# pets\nclasses= 2\r\ntrain = lists/train.txt\nvalid=/data/valid.txt\nnames = pets.names\nbackup = out\nk=5\n"
    )
    data = read_data(str(tmp_path / "pets.data"))
    assert (data.classes, data.names) == (2, ("cat", "dog"))
    assert str(data.valid) == "/data/valid.txt"
    assert (data.train, data.backup) == (tmp_path / "lists/train.txt", tmp_path / "out")


def test_a_data_file_of_classes_alone(tmp_path):
    (tmp_path / "x.data").write_text("classes=2")
    data = read_data(tmp_path / "x.data")
    assert (data.train, data.valid, data.backup, data.names) == (None, None, tmp_path, ("class 0", "class 1"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"x\.data: no classes, expected a line"),
        ("classes=\n", "no classes"),
        ("\nclasses = four\n", r"x\.data:2: classes = 'four', expected a positive integer"),
        ("classes = 0\n", "expected a positive integer"),
        ("classes = 2\ntrain.txt\n", r"x\.data:2: 'train.txt', expected key = value"),
        ("classes = 3\nnames = two.names\n", r"x\.data:1: classes = 3, but .*two\.names has 2 names"),
    ],
)
def test_wrong_data_files(tmp_path, text, message):
    (tmp_path / "two.names").write_text("one\ntwo\n")
    (tmp_path / "x.data").write_text(text)
    with pytest.raises(DataError, match=message):
        read_data(tmp_path / "x.data")


def test_a_missing_data_file(tmp_path):
    with pytest.raises(DataError, match=r"none\.data: cannot be read"):
        read_data(tmp_path / "none.data")
    (tmp_path / "latin.data").write_bytes(b"classes=1\nnames=\xe9")
    with pytest.raises(DataError, match="not UTF-8"):
        read_data(tmp_path / "latin.data")


# Images and labels.


@pytest.mark.parametrize(
    ("image", "labels"),
    [
        ("images/a.jpg", "labels/a.txt"),
        ("/d/images/b/images/c/a.b.png", "/d/images/b/labels/c/a.b.txt"),
        ("photos/a.JPEG", "photos/a.txt"),
        ("images", "images.txt"),
        ("my images/a.jpg", "my images/a.txt"),
    ],
)
def test_where_labels_are(image, labels):
    assert label_path(image).as_posix() == labels


def test_labels_beside_an_image_in_images(photos):
    (photos / "labels" / "one.txt").rename(photos / "images" / "one.txt")
    assert label_path(photos / "images" / "one.jpg") == photos / "images" / "one.txt"


def test_samples(photos):
    images = ImageList(photos / "train.txt", classes=3)
    assert len(images) == 2
    sample = images.sample(0)
    assert sample.class_id.tolist() == [0, 2]
    # 120 x 80: centre 60, 40 and size 60 x 20; centre 12, 72 and size 24 x 16.
    np.testing.assert_allclose(sample.xyxy, [[30, 30, 90, 50], [0, 64, 24, 80]], atol=1e-4)
    assert (sample.image.dtype, sample.class_id.dtype, sample.xyxy.dtype) == (np.uint8, np.int64, np.float32)
    with Image.open(photos / "images" / "one.jpg") as reference:
        rgb = np.asarray(reference).astype(int)
    assert np.abs(sample.image[..., ::-1] - rgb).max() <= 3
    empty = images.sample(1)
    assert empty.class_id.shape == (0,) and empty.xyxy.shape == (0, 4) and empty.xyxy.dtype == np.float32


def test_labels_need_no_image(photos):
    (photos / "images" / "one.jpg").unlink()
    class_id, boxes = ImageList(photos / "train.txt").labels(0)
    assert class_id.tolist() == [0, 2]
    np.testing.assert_allclose(boxes, [[0.5, 0.5, 0.5, 0.25], [0.1, 0.9, 0.2, 0.2]], rtol=1e-6)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((61, 10), (120, 80)),
        ((60, 40), (60, 40)),
        ((60, 41), (120, 80)),
        ((29, 20), (30, 20)),
        ((1.5, 1.5), (15, 10)),
        ((500, 500), (120, 80)),
    ],
)
def test_jpegs_may_come_smaller(photos, size, expected):
    """The boxes shrink with the picture, which is the full one averaged over blocks."""
    images = ImageList(photos / "train.txt")
    full, small = images.sample(0), images.sample_at_least(0, size)
    assert small.image.shape == (expected[1], expected[0], 3)
    factor = 120 // expected[0]
    np.testing.assert_allclose(small.xyxy * factor, full.xyxy, atol=1e-3)
    blocks = full.image.reshape(expected[1], factor, expected[0], factor, 3).mean(axis=(1, 3))
    assert np.abs(small.image - blocks).mean() < 2


def test_a_jpeg_on_its_side(photos):
    """EXIF turns the picture before anything is measured."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(120, 60)).save(photos / "images" / "one.jpg", exif=exif)
    images = ImageList(photos / "train.txt")
    assert images.sample(0).image.shape == (120, 60, 3)
    assert images.sample_at_least(0, (30, 60)).image.shape == (60, 30, 3)
    assert images.sample_at_least(0, (60, 30)).image.shape == (120, 60, 3)


def test_png_is_never_reduced(photos):
    Image.fromarray(picture(120, 80)).save(photos / "images" / "a.png")
    (photos / "train.txt").write_text("images/a.png")
    (photos / "labels" / "a.txt").write_text("")
    sample = ImageList(photos / "train.txt").sample_at_least(0, (3, 3))
    np.testing.assert_array_equal(sample.image[..., ::-1], picture(120, 80))


def test_a_missing_label_file_is_told_once(photos, caplog):
    (photos / "labels" / "two.txt").unlink()
    images = ImageList(photos / "train.txt")
    with caplog.at_level(logging.WARNING):
        assert [len(images.sample(1).class_id) for _ in range(3)] == [0, 0, 0]
    assert len(caplog.records) == 1 and "two.txt" in caplog.text


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("3 0.5 0.5 0.1 0.1", r"one\.txt:2: class 3, expected 0\.\.2"),
        ("-1 0.5 0.5 0.1 0.1", "class -1"),
        ("cat 0.5 0.5 0.1 0.1", r"one\.txt:2: 'cat 0.5 0.5 0.1 0.1', expected 'class cx cy w h'"),
        ("1.5 0.5 0.5 0.1 0.1", "expected 'class cx cy w h'"),
        ("0 nan 0.5 0.1 0.1", "expected 'class cx cy w h'"),
        ("0 0.5 0.5 inf 0.1", "expected 'class cx cy w h'"),
        ("0 0.5 0.5 0.1", "expected 'class cx cy w h'"),
        ("0 0.5 0.5 0.1 0.1 0.1", "expected 'class cx cy w h'"),
        ("0 50 60 10 10", "cx = 50, .*pixels"),
        ("0 0.5 -0.1 0.1 0.1", "cy = -0.1"),
        ("0 0.5 0.5 0 0.1", "w = 0"),
        ("0 0.5 0.5 0.1 -0.1", "h = -0.1"),
    ],
)
def test_wrong_labels(photos, line, message):
    (photos / "labels" / "one.txt").write_text(f"0 0.5 0.5 0.1 0.1\n{line}\n")
    with pytest.raises(DataError, match=message):
        ImageList(photos / "train.txt", classes=3).sample(0)


def test_without_classes_any_class_goes(photos):
    (photos / "labels" / "one.txt").write_text("99 0.5 0.5 1.0005 0.1\n")
    sample = ImageList(photos / "train.txt").sample(0)
    assert sample.class_id.tolist() == [99]
    np.testing.assert_allclose(sample.xyxy, [[0, 36, 120, 44]], atol=1e-4)  # clipped
    (photos / "labels" / "one.txt").write_text("-1 0.5 0.5 0.1 0.1\n")
    with pytest.raises(DataError, match="class -1, expected 0 or more"):
        ImageList(photos / "train.txt").sample(0)


def test_wrong_images(photos):
    path = photos / "images" / "two.jpg"
    images = ImageList(photos / "train.txt")
    whole = path.read_bytes()
    for raw, message in [
        (b"", r"two\.jpg: not an image"),
        (b"hello", "not an image that OpenCV can decode"),
        (whole[:-300], r"two\.jpg: the JPEG ends early"),
        (b"\xff\xd8 nothing \xff\xd9", "not an image"),
    ]:
        path.write_bytes(raw)
        with pytest.raises(DataError, match=message):
            images.sample(1)
        with pytest.raises(DataError, match=message):
            images.sample_at_least(1, (1, 1))
    path.write_bytes(whole + bytes(20))
    assert images.sample(1).image.shape == (80, 120, 3)
    path.unlink()
    with pytest.raises(DataError, match=r"train\.txt:3: .*two\.jpg cannot be read"):
        images.sample(1)


def test_lists(photos):
    (photos / "empty.txt").write_text("\n \n")
    with pytest.raises(DataError, match=r"empty\.txt: the list is empty"):
        ImageList(photos / "empty.txt")
    with pytest.raises(DataError, match="cannot be read"):
        ImageList(photos / "none.txt")
    (photos / "deep").mkdir()
    (photos / "deep" / "list.txt").write_text(f"{photos}/images/one.jpg\n../images/two.jpg\n")
    assert [len(ImageList(photos / "deep" / "list.txt").sample(i).xyxy) for i in range(2)] == [2, 0]


def test_written_labels_are_read_back(tmp_path):
    rng = np.random.default_rng(5)
    low = rng.uniform(0, 300, (20, 2))
    xyxy = np.hstack((low, low + rng.uniform(1, 100, (20, 2)))).astype(np.float32)
    image = np.zeros((400, 600, 3), np.uint8)
    sample = Sample(image, rng.integers(0, 5, 20), xyxy)
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), image)
    assert write_labels(tmp_path / "images" / "a.png", sample) == tmp_path / "labels" / "a.txt"
    (tmp_path / "list.txt").write_text("images/a.png\n")
    again = ImageList(tmp_path / "list.txt").sample(0)
    np.testing.assert_array_equal(again.class_id, sample.class_id)
    np.testing.assert_allclose(again.xyxy, xyxy, atol=0.002)
    write_labels(tmp_path / "images" / "a.png", sample.with_boxes(np.zeros(20, bool)))
    assert (tmp_path / "labels" / "a.txt").read_text() == ""
