"""The held-out set: boxes against a search for lit pixels, seeds, the data set."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("zxingcpp", reason="zxing-cpp is not installed: pip install zxing-cpp")
pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install matplotlib")

from training.datafile import ImageList, read_data
from training.heldout import artwork, fields, large_scene, make_scene, symbols, truth
from training.heldout.camera import Camera, look_at
from training.heldout.generate import contact_sheet, generate
from training.heldout.layouts import LAYOUTS, Order, draw_stock
from training.heldout.render import Light, Piece, render
from training.heldout.sensor import Optics, photograph
from training.heldout.surfaces import Cylinder, Plane

# Camera and surfaces ------------------------------------------------------------------------------------------------


def camera(size: tuple[int, int] = (320, 200), **more: object) -> Camera:
    position = np.array([120.0, -900.0, 500.0])
    lens: dict[str, object] = {"radial": (-0.12, 0.03), "tangential": (0.002, -0.001), "shutter": (7.0, -4.0)}
    return Camera(size, 0.9 * max(size), look_at(position, np.zeros(3), 0.1), position, **(lens | more))


def test_pinhole_is_the_textbook_one():
    view = camera(radial=(0.0, 0.0), tangential=(0.0, 0.0), shutter=(0.0, 0.0))
    points = np.random.default_rng(0).uniform(-300, 300, (50, 3))
    seen = (view.rotation @ (points - view.position).T).T
    expected = seen[:, :2] / seen[:, 2:] * view.focal + np.array(view.size) / 2
    np.testing.assert_allclose(view.project(points)[0], expected)
    np.testing.assert_allclose(view.rotation @ view.rotation.T, np.eye(3), atol=1e-12)


def test_distortion_is_opencvs():
    view = camera(shutter=(0.0, 0.0))
    points = np.random.default_rng(0).uniform(-250, 250, (50, 3))
    matrix = np.array([[view.focal, 0, 160], [0, view.focal, 100], [0, 0, 1]])
    turn, _ = cv2.Rodrigues(view.rotation)
    expected, _ = cv2.projectPoints(
        points, turn, -view.rotation @ view.position, matrix, np.array([*view.radial, *view.tangential])
    )
    np.testing.assert_allclose(view.project(points)[0], expected[:, 0], atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(x=st.floats(0, 320), y=st.floats(0, 200), depth=st.floats(1, 5000))
def test_rays_lead_back_to_their_pixels(x, y, depth):
    view = camera()
    ray = np.append(view.rays(np.array([x, y])), 1.0) * depth
    xy, seen_depth = view.project(view.position + view.rotation.T @ ray)
    assert xy == pytest.approx((x, y), abs=1e-3) and seen_depth == pytest.approx(depth)


def test_ray_map_is_that_of_single_rays():
    view = camera()
    columns, rows = np.meshgrid((np.arange(640) + 0.5) / 2, (np.arange(400) + 0.5) / 2)
    difference = view.ray_map(2.0) - view.rays(np.stack([columns, rows], axis=-1))
    assert np.abs(difference).max() * view.focal < 0.05


def test_points_far_outside_do_not_fold_back_into_the_picture():
    view = camera(radial=(-0.18, 0.0), tangential=(0.0, 0.0), shutter=(0.0, 0.0))
    far = view.position + view.rotation.T @ np.array([3.0, 0.0, 1.0])
    assert view.project(far)[0][0] > view.size[0]
    with pytest.raises(ValueError, match="folds the picture"):
        camera(radial=(-1.5, 0.0))


PLANE = Plane(np.array([-180.0, 40, 90]), np.array([300.0, 60, -20]), np.array([30.0, -160, -90]))
CAN = Cylinder(
    np.array([30.0, 40, 130]),
    np.array([10.0, -20, -260]),
    np.array([0.0, -1, 1 / 13]) / np.hypot(1, 1 / 13),
    150.0,
    2 * np.pi,
)
BENT = Cylinder(np.array([0.0, 260, 100]), np.array([0.0, 0, -200]), np.array([0.0, -1, 0]), 300.0, 0.9)
HOLLOW = Cylinder(np.array([0.0, -360, 100]), np.array([0.0, 0, -200]), np.array([0.0, 1, 0]), 300.0, 0.9, inner=True)
SHAPES = {"plane": PLANE, "can": CAN, "bent": BENT, "hollow": HOLLOW}


def lit_mark(shape, corners: np.ndarray) -> tuple[Piece, artwork.Mark]:
    """A black surface on which one quadrilateral, a white symbol, is lit."""
    image = np.zeros((400, 1600, 3), np.uint8)
    cv2.fillConvexPoly(image, np.rint(corners * 16 - 8).astype(np.int32), (255, 255, 255), shift=4)
    symbol = symbols.Symbol(0, np.ones((20, 20), bool), "white", "white")
    piece = Piece(shape, artwork.Print(image, (artwork.Mark(symbol, corners.astype(float)),)))
    return piece, piece.marks()[0]


@pytest.mark.parametrize("size", [(320, 200), (240, 400)])
@pytest.mark.parametrize("name", SHAPES)
def test_boxes_are_those_of_the_lit_pixels(name, size):
    view = camera(size)
    narrow = name == "can"  # most of its mantle is on the far side
    corners = np.array(
        [[700, 60], [930, 90], [900, 330], [680, 300]] if narrow else [[400, 60], [1200, 40], [1150, 330], [380, 350]]
    )
    piece, _ = lit_mark(SHAPES[name], corners)
    light = Light(np.array([0.0, -0.6, 0.8]), np.zeros(3), np.ones(3))
    lit = render([piece], view, light).radiance[..., 1] > 0.5
    rows, columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
    expected = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    (found,) = truth.judge([piece], view)
    assert found.xyxy == pytest.approx(expected, abs=1.5)
    assert found.clear and found.visible == 1.0


@pytest.mark.parametrize("name", SHAPES)
def test_hits_are_the_points_of_the_surface(name):
    view, shape = camera(), SHAPES[name]
    hit = shape.seen_by(view).hit(view.ray_map())
    rows, columns = np.nonzero(hit.inside())
    assert rows.size > 500
    uv = np.stack([hit.u[rows, columns], hit.v[rows, columns]], axis=-1).astype(float)
    xy, depth = view.project(shape.point(uv))
    np.testing.assert_allclose(xy, np.stack([columns, rows], axis=-1) + 0.5, atol=0.05)
    np.testing.assert_allclose(depth, hit.depth[rows, columns], rtol=1e-4)
    normal = np.broadcast_to(hit.normal, (*hit.u.shape, 3))[rows, columns] @ view.rotation
    np.testing.assert_allclose(normal, shape.normal(uv), atol=1e-3)


@pytest.mark.parametrize("name", SHAPES)
def test_shadows_are_where_a_ray_to_the_lamp_is_cut(name):
    shape, lamp = SHAPES[name], np.array([0.3, -0.5, 0.81])
    points = np.random.default_rng(0).uniform(-300, 300, (40, 40, 3)).astype(np.float32)
    shadowed = shape.blocks(points, lamp, 1.0)
    # The oracle walks along the ray and asks whether it passes close to any of many points of the surface.
    grid = np.stack(np.meshgrid(np.linspace(0, 1, 160), np.linspace(0, 1, 60)), axis=-1)
    away = shape.point(grid).reshape(-1, 1, 3) - points.reshape(1, -1, 3)[:, ::9]
    along = away @ lamp
    closest = np.where(along > 1, np.linalg.norm(away - along[..., None] * lamp, axis=2), np.inf).min(axis=0)
    chosen = shadowed.ravel()[::9]
    assert (closest[chosen] < 12).all() and chosen.any()
    assert not (closest[~chosen] < 0.5).any()


def test_a_nearer_sheet_hides_a_symbol():
    view = camera()
    corners = np.array([[400, 60], [1200, 40], [1150, 330], [380, 350]])
    behind, _ = lit_mark(PLANE, corners)
    lifted = Plane(PLANE.origin + np.array([0, 0, 40.0]) + PLANE.across / 2, PLANE.across / 2, PLANE.down)
    before = Piece(lifted, artwork.Print(np.zeros((4, 4, 3), np.uint8)), thing=2)
    (found,) = truth.judge([behind, before], view)
    assert 0.3 < found.visible < 0.7 and found.hidden_by == 1
    left, truths = truth.prune([behind, before], view)
    assert left == [behind] and truths[0].visible == 1.0


# Light and sensor ---------------------------------------------------------------------------------------------------


def test_grey_photographs_grey():
    frame = render(
        [Piece(PLANE, artwork.Print(np.full((4, 4, 3), 180, np.uint8)))],
        camera(),
        Light(np.array([0.0, -0.6, 0.8]), np.full(3, 0.6), np.full(3, 0.4)),
    )
    picture = photograph(frame, Optics(900.0, electrons=1e6, read_noise=0.0), np.random.default_rng(0))
    inside = picture[90:110, 150:170].astype(int)
    assert np.ptp(inside.mean(axis=(0, 1))) < 3 and inside.std() < 3 and 90 < inside.mean() < 250


def test_the_mosaic_keeps_the_colours_apart():
    view = camera()
    for channel in range(3):
        colour = np.zeros((4, 4, 3), np.uint8)
        colour[..., channel] = 255
        frame = render(
            [Piece(PLANE, artwork.Print(colour))], view, Light(np.array([0, 0, 1.0]), np.zeros(3), np.ones(3))
        )
        inside = photograph(frame, Optics(900.0), np.random.default_rng(0))[90:110, 150:170].mean(axis=(0, 1))
        assert inside.argmax() == channel and np.delete(inside, channel).max() < 40


def test_noise_of_photons_grows_as_their_square_root():
    frame = render(
        [Piece(PLANE, artwork.Print(np.full((4, 4, 3), 255, np.uint8)))],
        camera(),
        Light(np.array([0, 0, 1.0]), np.zeros(3), np.full(3, 0.5)),
    )
    spreads = []
    for electrons in (400.0, 6400.0):
        optics = Optics(900.0, electrons=electrons, read_noise=0.0, sharpening=0.0, contrast=0.0, exposure=0.5)
        spreads.append(photograph(frame, optics, np.random.default_rng(0))[90:110, 150:170].std())
    assert spreads[0] / spreads[1] == pytest.approx(4, rel=0.2)


# Textures -----------------------------------------------------------------------------------------------------------


def test_spectrum_falls_with_the_slope():
    field = fields.spectral(np.random.default_rng(0), 256, 1.5)
    power = np.abs(np.fft.fft2(field - field.mean())) ** 2
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(256) * 256, np.fft.fftfreq(256) * 256))
    bands = [power[(radius > low) & (radius < 1.5 * low)].mean() for low in (8, 64)]
    assert np.log2(bands[0] / bands[1]) / 3 == pytest.approx(3, abs=0.2)  # power falls with twice the slope


def test_cells_belong_to_the_nearest_point():
    distance, owner = fields.cells(np.random.default_rng(0), 64, 7)
    points = np.random.default_rng(0).integers(0, 64, (7, 2))
    grid = np.stack(np.mgrid[0:64, 0:64], axis=-1)[:, :, None] - points
    naive = np.hypot(*np.moveaxis((grid + 32) % 64 - 32, -1, 0))
    assert (owner == naive.argmin(axis=2)).mean() > 0.98
    np.testing.assert_allclose(distance * naive.min(axis=2).max(), naive.min(axis=2), atol=0.5)


# Scenes -------------------------------------------------------------------------------------------------------------


def test_scenes_repeat_and_differ():
    first, again, other = make_scene(1, 10), make_scene(1, 10), make_scene(3, 2)
    assert first.jpeg == again.jpeg and first.jpeg != other.jpeg
    for one, two in zip(first.truths, again.truths, strict=True):
        assert one.symbol.payload == two.symbol.payload and (one.xyxy == two.xyxy).all()


def test_labels_are_in_the_picture_and_within_the_limits():
    for index in (14, 17, 22):
        sample = make_scene(1, index).sample()
        height, width = sample.image.shape[:2]
        sides = sample.xyxy[:, 2:] - sample.xyxy[:, :2]
        assert (sample.xyxy >= 0).all() and (sample.xyxy <= (width, height) * 2).all()
        assert (sides.max(axis=1) >= 24).all() and ((sides * 416 / (width, height)).max(axis=1) >= 16).all()
        assert (sides.max(axis=1) >= 0.05 * max(width, height)).all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_shows_its_symbols(layout):
    rng = np.random.default_rng(5)
    stock = draw_stock(rng)
    shown = 0
    for _ in range(6):
        orders = [Order(symbols.draw_symbol(rng, class_id), 110.0) for class_id in (0, 2, 3)]
        arrangement = layout(rng, (640, 480), orders, stock)
        shown += len(truth.prune(arrangement.pieces, arrangement.camera)[1])
    assert shown >= 9


def test_large_scene_tells_what_opencv_reads():
    image, listed = large_scene(4, (2000, 1500))
    assert image.shape == (1500, 2000, 3) and {class_id for class_id, _, _ in listed} == {0, 3}
    markers = {payload: box for class_id, box, payload in listed if class_id == 3}
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    corners, ids, _ = cv2.aruco.ArucoDetector(dictionary).detectMarkers(image)
    assert len(ids) >= 3
    for quad, number in zip(corners, ids.ravel(), strict=True):
        box = markers[f"DICT_4X4_50:{number}"]
        assert np.concatenate([quad[0].min(axis=0), quad[0].max(axis=0)]) == pytest.approx(box, abs=4)


# Command line -------------------------------------------------------------------------------------------------------


def test_command_writes_a_set_that_the_trainer_reads(tmp_path: Path):
    run = CliRunner().invoke
    out = tmp_path / "set"
    arguments = [str(out), "--count", "1", "--seed", "17", "--workers", "1"]
    assert run(generate, arguments).exit_code == 0
    data = read_data(out / "codes.data")
    assert data.names == symbols.CLASSES and data.valid is not None
    pictures = ImageList(data.valid)
    assert len(pictures) == 1
    expected, sample = make_scene(17, 0).sample(), pictures.sample(0)
    np.testing.assert_array_equal(sample.class_id, expected.class_id)
    np.testing.assert_allclose(sample.xyxy, expected.xyxy, atol=0.01)
    assert "already holds" in run(generate, arguments).output
    refused = run(generate, [str(out), "--count", "2", "--workers", "1"])
    assert refused.exit_code == 1 and "is not empty" in refused.output
    assert json.loads((out / "made.json").read_text())["seed"] == 17
    assert run(generate, []).exit_code == 2


def test_contact_sheet_holds_every_picture(monkeypatch: pytest.MonkeyPatch):
    scene, asked = make_scene(1, 10), []
    monkeypatch.setattr("training.heldout.generate.make_scene", lambda *which: asked.append(which) or scene)
    sheet = contact_sheet(4, 3, columns=2, side=100)
    assert sheet.shape == (200, 200, 3) and asked == [(4, 0), (4, 1), (4, 2)]
    assert sheet[:75].std() > 10 and (sheet[100:, 100:] == 30).all()
