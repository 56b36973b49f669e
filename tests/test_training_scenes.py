"""Scenes for training: codes are read back by other libraries, boxes are measured in the pixels."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

for optional in ("segno", "barcode", "ppf.datamatrix", "PIL"):
    pytest.importorskip(optional, reason="the code encoders are not installed: pip install '.[train]'")
zxingcpp = pytest.importorskip("zxingcpp", reason="zxing-cpp, which reads codes back, is not installed")

from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

from training.datafile import ImageList, read_data  # noqa: E402
from training.scenes import bank, camera, generate, occlusion, symbols  # noqa: E402
from training.scenes.difficulty import EASY  # noqa: E402
from training.scenes.hardware import HARDWARE  # noqa: E402
from training.scenes.materials import MATERIALS, noise  # noqa: E402
from training.scenes.patterns import PATTERNS  # noqa: E402
from training.scenes.scene import render_scene  # noqa: E402
from training.scenes.stage import Seen, Stage, paste  # noqa: E402
from training.scenes.wear import Curl  # noqa: E402

#: Class of what zxing-cpp reads; see `test_what_readers_find_is_in_the_truth` for the others.
_CLASS_OF = {"QRCode": symbols.QR, "MicroQRCode": symbols.QR, "DataMatrix": symbols.DATAMATRIX}


def _printed(symbol: symbols.Symbol, module: int = 4) -> np.ndarray:
    """A clean light picture of a symbol with its quiet zone."""
    rows, columns = symbol.modules.shape
    ink = symbol.ink(columns * module, 120 if rows == 1 else rows * module)
    return 255 - np.pad(ink, 12 * module)


def _read(picture: np.ndarray) -> list[str]:
    return [found.text for found in zxingcpp.read_barcodes(picture)]


@pytest.mark.parametrize("error", "lmqh")
@pytest.mark.parametrize("payload", ["https://example.com/a?b=1", "0123456789", "BEGIN:VCARD\nVERSION:3.0\nEND:VCARD"])
def test_qr_reads_back(error, payload):
    symbol = symbols.encode_qr(payload, error)
    assert _read(_printed(symbol)) == [payload]
    assert cv2.QRCodeDetector().detectAndDecode(_printed(symbol))[0] == payload


def test_large_and_micro_qr_read_back():
    large = symbols.encode_qr("long text " * 30, "q")
    assert large.modules.shape[0] > 57 and _read(_printed(large)) == [large.payload]
    micro = symbols.encode_qr("A1B2", "l", micro=True)
    assert micro.modules.shape[0] <= 17 and _read(_printed(micro, 8)) == ["A1B2"]


@pytest.mark.parametrize(
    ("kind", "payload", "name"),
    [
        ("code128", "Lot-42 b", "Code128"),
        ("code39", "REV42", "Code39"),
        ("ean13", "590123412345", "EAN13"),
        ("ean8", "9638507", "EAN8"),
        # A UPC-A is the EAN-13 with a leading 0 and is reported as one.
        ("upca", "03600029145", "EAN13"),
        ("itf", "00123456", "ITF"),
        ("gs1_128", "0104012345678901", "Code128"),
        ("codabar", "A40156B", "Codabar"),
    ],
)
def test_barcode_reads_back(kind, payload, name):
    symbol = symbols.encode_barcode(kind, payload)
    (found,) = zxingcpp.read_barcodes(_printed(symbol))
    assert str(found.format).replace(" ", "").replace("-", "") == name
    # Readers put GS1 application identifiers into brackets.
    text = found.text.replace("(", "").replace(")", "")
    assert text.lstrip("0") == symbol.payload.lstrip("0")
    assert symbol.modules[0, 0] == symbol.modules[0, -1] == 1


@pytest.mark.parametrize("rectangular", [False, True])
@pytest.mark.parametrize("payload", ["AB12", "Serial 0042 / 7"])
def test_datamatrix_reads_back(rectangular, payload):
    symbol = symbols.encode_datamatrix(payload, rectangular)
    assert (symbol.modules.shape[0] != symbol.modules.shape[1]) == rectangular
    assert symbol.modules[-1].all() and symbol.modules[:, 0].all()
    assert _read(_printed(symbol, 6)) == [payload]


@pytest.mark.parametrize("name", symbols.ARUCO_DICTIONARIES)
def test_aruco_is_detected(name):
    dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, name))
    number = len(dictionary.bytesList) - 1
    picture = _printed(symbols.encode_aruco(name, number), 16)
    corners, numbers, _ = cv2.aruco.ArucoDetector(dictionary).detectMarkers(picture)
    assert numbers.ravel().tolist() == [number]
    side = picture.shape[0] - 2 * 12 * 16
    np.testing.assert_allclose(np.ptp(corners[0][0], axis=0), side - 1, atol=1.01)


@pytest.mark.parametrize("class_id", range(6))
def test_random_symbols_read_back(class_id):
    rng = np.random.default_rng(class_id)
    for _ in range(15):
        symbol = bank.random_symbol(rng, class_id)
        assert symbol.class_id == class_id and set(np.unique(symbol.modules)) == {0, 1}
        if class_id != symbols.ARUCO and symbol.kind != "MicroPDF417":
            (text,) = _read(_printed(symbol, 6))
            # DataBar and UPC-E come back in full: with their application identifier, or as a UPC-A.
            assert symbol.payload.lstrip("0") in text or symbol.kind == "UPCE"


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12), st.integers(2, 12), st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_ink_covers_the_area_of_the_modules(rows, columns, width, height, seed):
    modules = np.random.default_rng(seed).integers(0, 2, (rows, columns), np.uint8)
    ink = symbols.Symbol(0, "qr", "", modules, 4).ink(width, height)
    assert ink.shape == (height, width)
    # Exact area averages: overlap of every pixel's interval with every module's, along each axis.
    down, across = (_overlaps(*pair) for pair in ((height, rows), (width, columns)))
    # OpenCV rounds the finer print's scale down to whole pixels a module; a module edge moves by less than a pixel.
    assert abs(ink.mean() - 255 * (down @ modules @ across.T).mean()) <= 1.0
    if width % columns == 0 and height % rows == 0:
        np.testing.assert_array_equal(ink, 255 * np.kron(modules, np.ones((height // rows, width // columns), int)))


def _overlaps(pixels: int, modules: int) -> np.ndarray:
    low = np.maximum(np.arange(pixels)[:, None] / pixels, np.arange(modules) / modules)
    high = np.minimum((np.arange(pixels)[:, None] + 1) / pixels, (np.arange(modules) + 1) / modules)
    return np.clip(high - low, 0, None) * pixels


@pytest.mark.parametrize("make", MATERIALS + PATTERNS + HARDWARE, ids=lambda make: make.__name__)
def test_textures_are_full_and_repeatable(make):
    texture = make(np.random.default_rng(1), 256)
    assert texture.dtype == np.uint8 and texture.shape == (256, 256) and texture.std() > 4
    np.testing.assert_array_equal(texture, make(np.random.default_rng(1), 256))


def test_noise_spans_its_range_and_runs_along_x():
    field = noise(np.random.default_rng(0), 128, 32, 2, stretch=16)
    assert abs(field.min()) < 1e-6 and abs(field.max() - 1) < 1e-6
    assert np.abs(np.diff(field, axis=1)).mean() < 0.3 * np.abs(np.diff(field, axis=0)).mean()


def _red_box(picture: np.ndarray) -> np.ndarray:
    """Bounding box of the pixels at least half red on black, edges as in Sample.xyxy."""
    rows, columns = np.nonzero(picture[..., 2] >= 128)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


def _border(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    share = np.linspace(0, 1, 50)[:, None]
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
    return np.concatenate([a + share * (b - a) for a, b in zip(corners, np.roll(corners, -1, axis=0), strict=True)])


@pytest.mark.parametrize("seed", range(12))
def test_projected_boxes_sit_on_the_pixels(seed):
    rng = np.random.default_rng(seed)
    sheet = np.zeros((160, 220, 4), np.uint8)
    sheet[..., 3] = 255
    sheet[50:120, 60:170, 2] = 255
    outline = _border(60, 50, 170, 120)
    if seed % 2:
        # Red at full strength: the shade of the far sides is not under test.
        curl = Curl(220, 160, rng.uniform(0.3, 1.2), rng.uniform(-30, 30))
        outline = curl.points(outline)
        sheet = cv2.threshold(curl.image(sheet), 60, 255, cv2.THRESH_BINARY)[1]
    homography = np.array([[1, 0, 250], [0, 1, 200], [0, 0, 1]]) @ camera.pose(rng, 220, 160, 500)
    picture = np.zeros((400, 500, 3), np.uint8)
    paste(picture, sheet, homography, (0.0, 0, 0))
    seen = camera.project(homography, outline)
    np.testing.assert_allclose(_red_box(picture), [*seen.min(axis=0), *seen.max(axis=0)], atol=1.2)


def test_pasting_keeps_to_the_sheet_and_its_shadow():
    white = np.full((40, 60, 4), 255, np.uint8)
    at = np.array([[1, 0, 20.0], [0, 1, 30.0], [0, 0, 1]])
    picture = np.full((100, 120, 3), 100, np.uint8)
    paste(picture, white, at, (0.0, 0, 0))
    assert (picture[31:69, 21:79] == 255).all()
    picture[29:71, 19:81] = 100
    assert (picture == 100).all()
    shaded = np.full((100, 120, 3), 100, np.uint8)
    paste(shaded, white, at, (0.5, 4, 4))
    assert (shaded[31:69, 21:79] == 255).all() and shaded[71, 50, 0] < 80 and shaded[5, 5, 0] == 100
    untouched = np.full((100, 120, 3), 100, np.uint8)
    paste(untouched, white, np.array([[1, 0, 500.0], [0, 1, 0], [0, 0, 1]]), (0.0, 0, 0))
    assert (untouched == 100).all()


def _seen(x0: float, y0: float, x1: float, y1: float) -> Seen:
    share = np.arange(12)[:, None] / 12
    corners = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], float)
    outline = np.concatenate([a + share * (b - a) for a, b in zip(corners, np.roll(corners, -1, 0), strict=True)])
    return Seen(symbols.encode_aruco("DICT_4X4_50", 3), outline)


def test_stage_measures_cover_room_and_pitch():
    stage = Stage(np.zeros((200, 300, 3), np.uint8))
    assert stage.has_room(_border(0, 0, 50, 50), [_seen(0, 0, 50, 50)])
    code = _seen(100, 40, 200, 140)
    assert code.pitch == pytest.approx(100 / 6)
    stage.add([code])
    assert stage.covered(_border(90, 30, 150, 150))[0] == pytest.approx(0.5, abs=0.03)
    assert not stage.has_room(_border(90, 30, 150, 150), [])
    assert not stage.has_room(_border(210, 40, 290, 140), [_seen(190, 40, 290, 140)])
    assert stage.has_room(_border(210, 40, 290, 140), [_seen(220, 50, 280, 110)])
    assert not stage.has_room(_border(0, 0, 90, 90), [_seen(0, 0, 50, 50), _seen(20, 20, 70, 70)])


def test_at_most_thirty_per_cent_are_covered():
    hidden = []
    for seed in range(80):
        stage = Stage(np.full((240, 320, 3), 7, np.uint8))
        stage.add([_seen(110, 70, 210, 170)])
        occlusion.cover_part(np.random.default_rng(seed), stage)
        hidden.append((stage.picture[70:170, 110:210] != 7).any(axis=2).mean())
    assert max(hidden) < 0.34 and np.mean(np.array(hidden) > 0.02) > 0.4


def test_lens_and_sensor_keep_flat_grey():
    flat = np.full((320, 460, 3), 120, np.uint8)
    for seed in range(30):
        rng = np.random.default_rng(seed)
        blurred = camera.focus(rng, flat, 3.0)
        assert np.abs(blurred.astype(int) - 120).max() <= 1
        noisy = camera.expose(rng, flat).astype(float)
        assert abs(noisy.mean() - 120) < 0.6 and noisy.std() < 15
        assert np.abs(camera.resample(rng, flat, 0.5).astype(int) - 120).max() <= 1


def test_scenes_depend_on_seed_and_index_alone():
    first = render_scene(3, 5)
    render_scene(3, 6)
    again = render_scene(3, 5)
    assert first.jpeg == again.jpeg
    np.testing.assert_array_equal(first.sample.xyxy, again.sample.xyxy)
    assert render_scene(4, 5).jpeg != first.jpeg != render_scene(3, 4).jpeg


@pytest.fixture(scope="module")
def scenes():
    return [render_scene(11, index) for index in range(70)]


def test_truth_is_inside_large_enough_and_apart(scenes):
    for (image, class_id, xyxy), _ in scenes:
        height, width = image.shape[:2]
        assert width != height and 448 <= max(width, height) <= 640
        assert 1.1 < max(width, height) / min(width, height) < 1.8
        assert class_id.dtype == np.int64 and xyxy.dtype == np.float32 and xyxy.shape == (len(class_id), 4)
        assert (xyxy >= 0).all() and (xyxy <= [width, height, width, height]).all()
        sides = xyxy[:, 2:] - xyxy[:, :2]
        assert (sides > 0).all() and ((sides / [width, height]).max(axis=1) >= 11.9 / 416).all()
        for a, b in itertools.combinations(xyxy, 2):
            meet = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
            assert meet <= 0.06 * min((a[2:] - a[:2]).prod(), (b[2:] - b[:2]).prod())


def test_classes_and_counts_are_balanced(scenes):
    counts = np.array([len(scene.sample.class_id) for scene in scenes])
    assert 0.03 < (counts == 0).mean() < 0.25 and counts.max() <= 40
    shares = np.bincount(np.concatenate([scene.sample.class_id for scene in scenes]), minlength=6) / counts.sum()
    assert shares[:4].min() > 0.08 and shares.min() > 0.02


def test_sizes_span_what_people_photograph(scenes):
    """A quarter of the codes fills the picture, some cut by its edge; others go down to a dozen pixels of 416."""
    samples = [scene.sample for scene in scenes if len(scene.sample.xyxy)]
    shares = np.concatenate([np.ptp(s.xyxy.reshape(-1, 2, 2), axis=1) / s.image.shape[1::-1] for s in samples])
    longer = shares.max(axis=1)
    assert 0.15 < (longer > 0.7).mean() < 0.4 and 0.1 < (longer < 40 / 416).mean() < 0.4
    edges = np.concatenate([np.isclose(s.xyxy, [0, 0, *s.image.shape[1::-1]]).any(axis=1) for s in samples])
    assert 0.02 < edges.mean() < 0.3


def test_what_readers_find_is_in_the_truth(scenes):
    """A code a reader finds must lie in a box of its class: nothing printed is left unlabelled."""
    found = []
    sets = [getattr(cv2.aruco, f"DICT_{n}X{n}_1000") for n in (5, 6, 7)]
    detectors = [cv2.aruco.ArucoDetector(cv2.aruco.getPredefinedDictionary(number)) for number in sets]
    for scene in scenes:
        image = scene.sample.image
        for code in zxingcpp.read_barcodes(image):
            name = str(code.format).replace(" ", "")
            if name == "MaxiCode":
                continue
            kind = _CLASS_OF.get(name, 5 if name.startswith("Aztec") else 4 if "PDF417" in name else symbols.BARCODE)
            p = code.position
            corners = np.array([(q.x, q.y) for q in (p.top_left, p.top_right, p.bottom_right, p.bottom_left)], float)
            found.append((scene, kind, corners))
        for detector in detectors:
            quads = [quad[0].astype(float) for quad in detector.detectMarkers(image)[0]]
            # OpenCV takes a bar of a barcode for a marker now and then.
            found += [(scene, symbols.ARUCO, quad) for quad in quads if np.ptp(quad, axis=0).min() > 8]
    assert len(found) > 12 and {kind for _, kind, _ in found} >= set(range(4))
    overlaps = [_best_overlap(scene.sample, kind, corners) for scene, kind, corners in found]
    matrix = [o for o, (_, kind, _) in zip(overlaps, found, strict=True) if kind != symbols.BARCODE]
    # A reader reports a line across a barcode, corners for the others; Data Matrix corners are module centres.
    assert min(overlaps) > 0 and np.mean(np.array(matrix) > 0.75) > 0.9


def _best_overlap(sample, kind: int, corners: np.ndarray) -> float:
    """IoU of a reader's finding and the best box of its class; for a barcode 1 when its middle is inside one."""
    boxes = sample.xyxy[sample.class_id == kind]
    if kind == symbols.BARCODE:
        middle = corners.mean(axis=0)
        return float(((boxes[:, :2] <= middle) & (middle <= boxes[:, 2:])).all(axis=1).any())
    low, high = corners.min(axis=0), corners.max(axis=0)
    meet = np.clip(np.minimum(boxes[:, 2:], high) - np.maximum(boxes[:, :2], low), 0, None).prod(axis=1)
    union = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (high - low).prod() - meet
    return float((meet / union).max(initial=0))


def test_command_writes_a_set_the_trainer_reads(tmp_path):
    out, sheet = tmp_path / "set", tmp_path / "sheet.png"
    run = CliRunner().invoke
    arguments = [str(out), "--count", "5", "--seed", "2", "--workers", "1"]
    assert run(generate.main, [*arguments, "--sheet", str(sheet)]).exit_code == 0
    assert cv2.imread(str(sheet)).shape == (6 * 480, 4 * 480, 3)
    data = read_data(out / "codes.data")
    assert data.names == symbols.CLASS_NAMES
    images = ImageList(data.train, data.classes)
    assert len(images) == 5
    for index in range(5):
        read, made = images.sample(index), render_scene(2, index)
        np.testing.assert_allclose(read.xyxy, made.sample.xyxy, atol=2e-3)
        np.testing.assert_array_equal(read.class_id, made.sample.class_id)
        assert (out / f"train/{index:06d}.jpg").read_bytes() == made.jpeg
    assert "kept" in run(generate.main, arguments).output
    easy = run(generate.main, [*arguments, "--easy"])
    assert easy.exit_code == 1 and "--force" in easy.output
    fewer = [str(out), "--count", "3", "--seed", "2", "--workers", "1"]
    refused = run(generate.main, fewer)
    assert refused.exit_code == 1 and "--force" in refused.output
    (out / "notes.md").write_text("mine")
    assert run(generate.main, [*fewer, "--force"]).exit_code == 0
    assert len(ImageList(data.train)) == len(list((out / "train").glob("*.jpg"))) == 3
    assert (out / "notes.md").exists()


def test_processes_do_not_change_the_files(tmp_path):
    assert sum(generate.write_scenes(tmp_path / "two", 20, 5, 2)) == 20
    for index in (0, 15, 16, 19):
        assert (tmp_path / f"two/train/{index:06d}.jpg").read_bytes() == render_scene(5, index).jpeg


def test_easy_scenes_have_plain_codes():
    hard, easy = ([render_scene(4, i, *kind).sample for i in range(30)] for kind in ((), (EASY,)))
    assert sum(len(s.class_id) for s in easy) > sum(len(s.class_id) for s in hard)
    for sample in easy:
        height, width = sample.image.shape[:2]
        share = (sample.xyxy[:, 2:] - sample.xyxy[:, :2]) / (width, height)
        assert (share.max(axis=1) >= EASY.smallest).all()
    smallest = min(
        float(((s.xyxy[:, 2:] - s.xyxy[:, :2]) / s.image.shape[1::-1]).max(axis=1).min(initial=1)) for s in hard
    )
    assert smallest < EASY.smallest
