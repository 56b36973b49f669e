"""Four pictures to try the detector on: parcels, a shelf, a robot arena, a laboratory bench. Units are millimetres."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from training.heldout import labels, materials
from training.heldout.artwork import Print
from training.heldout.camera import Camera, look_at
from training.heldout.render import Light, Piece, render
from training.heldout.sensor import Optics, photograph
from training.heldout.symbols import make_data_matrix, make_linear, make_marker, make_qr
from training.heldout.things import box, can, ground, plain, sheet, turned

__all__ = ["DEMOS", "draw_demo"]

SIZE = (1024, 768)
_SENSOR = 2
_LEVEL = (np.array([1.0, 0, 0]), np.array([0, -1.0, 0]))
_UPRIGHT = (np.array([1.0, 0, 0]), np.array([0, 0, -1.0]))
_UP = np.array([0.0, 0, 1])

View = tuple[list[Piece], Camera, Light, Optics]


def _light(x: float, y: float, z: float, sky: float = 0.4) -> Light:
    toward = np.array([x, y, z]) / np.linalg.norm([x, y, z])
    lamp = np.array([0.93, 1.0, 1.05]) * (1 - sky)
    return Light(toward, lamp, np.array([1.06, 1.0, 0.95]) * sky, softness=4.0, pool=1.8)


def _view(
    pieces: list[Piece], light: Light, eye: tuple[float, float, float], at: tuple[float, float, float], focal: float
) -> View:
    position, target = np.array(eye), np.array(at)
    camera = Camera(
        (_SENSOR * SIZE[0], _SENSOR * SIZE[1]),
        _SENSOR * focal,
        look_at(position, target, 0.015),
        position,
        (-0.06, 0.01),
    )
    focus = float(np.linalg.norm(target - position))
    optics = Optics(focus, 3.0, 0.0008, 0.22, electrons=9000.0, exposure=0.86, contrast=0.3, sharpening=0.4)
    return pieces, camera, light, optics


def _dyed(red: int, green: int, blue: int) -> NDArray[np.float64]:
    return np.array([blue, green, red], float)


def parcels(rng: np.random.Generator) -> View:
    """Three parcels and an envelope on a wooden table."""
    board = Print(materials.cardboard(rng))
    pieces = [ground(Print(materials.wood(rng)), np.zeros(3), *_LEVEL, 9000, 420)]
    tracking = [make_linear("Code128", f"PX-{number}", 34) for number in (4071182259, 9912037746, 2280645513)]
    code = [make_qr(f"https://example.org/parcel/{number}", "M") for number in (40711, 99120, 22806)]
    first, second, third = (
        labels.parcel_label(bars, square, address, service)
        for bars, square, address, service in zip(
            tracking, code, labels.ADDRESSES, ("EXPRESS", "STANDARD", "ECO"), strict=True
        )
    )
    top = labels.on_board(board, (430, 300), first, (150, 35), 245, tape=True)
    pieces += box((board, top, board), np.array([-188.0, 146, 0]), (430, 300, 180), 0.2, thing=1)
    front = labels.on_board(board, (310, 260), second, (30, 12), 245)
    pieces += box((front, board), np.array([248.0, 122, 0]), (310, 220, 260), -0.3, thing=2)
    small = labels.on_board(board, (270, 240), third, (16, 8), 235)
    pieces += box((board, small, board), np.array([170.0, -190, 0]), (270, 240, 60), 0.12, thing=3)
    note = labels.card(make_qr("https://example.org/returns", "Q"), "RETURNS", "Scan to send\nthis parcel back", 8)
    pieces += sheet(note, np.array([-165.0, -185, 6]), turned([1, 0, 0], 0.18), turned([0, -1, 0], 0.18), 180, 0.25)
    return _view(pieces, _light(-0.55, -0.35, 0.9), (40, -840, 800), (10, -5, 60), 1130)


def shelf(rng: np.random.Generator) -> View:
    """Two boards of cans and packets with price tags."""
    back = Print(materials.laminate(np.random.default_rng(5)))
    pieces = [ground(back, np.array([0, 240.0, 0]), *_UPRIGHT, 6000, 600)]
    edge = plain(_dyed(226, 224, 218))
    for z in (-250, 10, 270):
        pieces += box((edge, plain(_dyed(205, 203, 198))), np.array([0, 90.0, z - 38]), (3000, 320, 38), 0.0, thing=-1)
    brands = (
        ("KORALU", _dyed(190, 44, 40)),
        ("VERDO", _dyed(44, 122, 74)),
        ("MAREN", _dyed(32, 84, 150)),
        ("SOLKA", _dyed(232, 160, 36)),
        ("NUBI", _dyed(120, 62, 130)),
    )
    steel = Print(materials.metal(np.random.default_rng(2)))
    for column, x in enumerate((-330, -205, -80)):
        brand, dye = brands[column]
        bars = make_linear("EAN13", f"40{column}7{rng.integers(10**7, 10**8)}", 40, 5)
        wrap = labels.can_label(brand, dye, bars)
        pieces += can(
            wrap,
            steel,
            np.array([x, -5.0 + 6 * column, 10]),
            _UP,
            turned([0, -1, 0], 0.12 * (1 - column)),
            52,
            150,
            thing=10 + column,
            gloss=0.45,
            shininess=45,
        )
    for column, (x, width, height, yaw) in enumerate(
        ((75, 130, 175, 0.1), (235, 150, 190, -0.14), (380, 110, 160, 0.05))
    ):
        brand, dye = brands[(column + 3) % 5]
        code = make_qr(f"https://example.org/{brand.lower()}", "M")
        front = labels.packet(brand, dye, code, (width, height))
        side = plain(dye * 0.8)
        pieces += box((front, side), np.array([x, 20.0, 10]), (width, 70, height), yaw, thing=20 + column)
    for column, x in enumerate((-360, -190, -20)):
        brand, dye = brands[(column + 1) % 5]
        bars = make_linear("UPCA", f"0{rng.integers(10**9, 10**10)}", 44, 5)
        front = labels.packet(brand, dye, bars, (140, 170))
        pieces += box(
            (front, plain(dye * 0.75)),
            np.array([x, 15.0, -250]),
            (140, 80, 170),
            0.08 * column - 0.1,
            thing=30 + column,
        )
    for column, x in enumerate((140, 268, 396)):
        brand, dye = brands[(4 - column) % 5]
        wrap = labels.can_label(brand, dye, make_linear("EAN8", f"{rng.integers(10**6, 10**7)}", 34, 5))
        pieces += can(
            wrap,
            steel,
            np.array([x, 0.0, -250]),
            _UP,
            turned([0, -1, 0], 0.2 - 0.15 * column),
            56,
            165,
            thing=40 + column,
            gloss=0.45,
            shininess=45,
        )
    for x, price in ((-205, "2.49"), (75, "3.95"), (300, "1.79")):
        tag = labels.price_tag(price, make_linear("EAN8", f"{rng.integers(10**6, 10**7)}", 20))
        pieces += sheet(tag, np.array([x, -73.0, -10.0]), *_UPRIGHT, 150, thing=50)
    return _view(pieces, _light(-0.35, -0.85, 0.75, 0.45), (90, -1000, 150), (15, 0, -28), 1130)


def arena(rng: np.random.Generator) -> View:
    """Robots with markers on their backs, in a walled field with markers on floor and obstacles."""
    timber = Print(materials.wood(rng))
    pieces = [ground(Print(materials.laminate(np.random.default_rng(3))), np.zeros(3), *_LEVEL, 14000, 900)]
    mat = labels.field(_dyed(92, 112, 122), (2160, 1800))
    pieces += sheet(mat, np.array([0.0, 0, 2]), *_LEVEL, 2160, casts=False)
    wall = plain(_dyed(214, 208, 196))
    for base, size in (
        ((0, 920, 0), (2240, 40, 120)),
        ((-1100, 0, 0), (40, 1880, 120)),
        ((1100, 0, 0), (40, 1880, 120)),
    ):
        pieces += box((wall,), np.array(base, float), size, 0.0)
    for number, (x, y) in enumerate(((-860, 680), (860, 680), (-800, -520), (800, -520))):
        tile = labels.plate(make_marker("DICT_5X5_100", number), _dyed(244, 242, 238), 1.5)
        pieces += sheet(tile, np.array([x, y, 5.0]), *_LEVEL, 250, casts=False)
    for number, (x, y, yaw, dye) in enumerate(
        ((-330, 120, 0.5, (208, 70, 44)), (270, 330, -0.9, (40, 96, 160)), (180, -310, 2.6, (228, 168, 40)))
    ):
        pieces += _robot(np.array([x, y, 0.0]), yaw, _dyed(*dye), 10 + number)
    for number, (x, y, dye) in enumerate(((-420, 620, (60, 130, 84)), (640, 60, (150, 60, 110)))):
        skin = labels.wrapped(
            labels.plate(make_marker("DICT_5X5_100", 40 + number), _dyed(246, 246, 244), 1.2), _dyed(*dye), 5.2
        )
        pieces += can(
            skin,
            plain(_dyed(*dye) * 0.9),
            np.array([x, y, 0.0]),
            _UP,
            turned([0, -1, 0], -0.1),
            120,
            230,
            gloss=0.25,
            thing=60 + number,
        )
    sign = labels.plate(make_marker("DICT_5X5_100", 77), _dyed(246, 246, 244), 1.5)
    crate = labels.on_board(timber, (300, 230), sign, (75, 40), 150)
    pieces += box((crate, timber), np.array([-640.0, -40, 0]), (300, 260, 230), 0.35, thing=70)
    return _view(pieces, _light(0.5, -0.5, 1.0), (120, -1620, 1420), (0, 20, 0), 880)


def _robot(at: NDArray[np.float64], yaw: float, dye: NDArray[np.float64], number: int) -> list[Piece]:
    """A low box on four wheels, its marker on top."""
    top = labels.bordered(labels.plate(make_marker("DICT_5X5_100", number), _dyed(246, 246, 244), 1.2), dye, 0.14)
    pieces = box((plain(dye), top, plain(dye * 0.85)), at + 45 * _UP, (260, 260, 80), yaw, gloss=0.2, thing=number)
    rubber = plain(_dyed(38, 38, 40))
    eye = at + turned([0, -152, 0], yaw) + 60 * _UP
    pieces += can(
        rubber, plain(_dyed(120, 190, 210)), eye, _UP, turned([0, -1, 0], yaw), 24, 44, gloss=0.5, thing=number
    )
    for x in (-0.5, 0.5):
        for y in (-80, 80):
            axle = turned([np.sign(x), 0, 0], yaw)
            hub = at + turned([x * 264, y, 0], yaw) + 48 * _UP
            pieces += can(rubber, plain(_dyed(90, 90, 94)), hub, axle, _UP, 48, 36, thing=number)
    return pieces


def bench(rng: np.random.Generator) -> View:
    """Vials in a rack and a circuit board, with Data Matrix codes."""
    pieces = [ground(Print(materials.laminate(np.random.default_rng(3))), np.zeros(3), *_LEVEL, 4000, 300)]
    rack = _dyed(70, 112, 150)
    pieces += box((plain(rack),), np.array([-20.0, 75, 0]), (330, 60, 26), 0.0, gloss=0.3, thing=1)
    caps = ((200, 60, 50), (60, 140, 90), (230, 170, 40), (60, 90, 170), (200, 60, 50), (120, 80, 150))
    for column, dye in enumerate(caps):
        base = np.array([-145 + 50 * column, 75.0, 26])
        vial = labels.wrapped(
            labels.vial_label(make_data_matrix(f"VIAL{rng.integers(1000, 10000)}"), column + 1),
            _dyed(214, 222, 224),
            3.4,
        )
        front = turned([0, -1, 0], float(rng.normal(0, 0.22)) - 0.02 * column)
        pieces += can(
            vial, plain(_dyed(200, 210, 214)), base, _UP, front, 19, 84, gloss=0.7, shininess=60, thing=10 + column
        )
        pieces += can(
            plain(_dyed(*dye)),
            plain(_dyed(*dye) * 0.92),
            base + 84 * _UP,
            _UP,
            front,
            20.5,
            16,
            gloss=0.4,
            thing=10 + column,
        )
    board = labels.circuit_board(rng, make_data_matrix("PCB-7714-REV-C", square=True))
    flat, down = turned([1, 0, 0], 0.16), turned([0, -1, 0], 0.16)
    pieces += sheet(board, np.array([-71.0, -66, 2.5]), flat, down, 180, gloss=0.2, thing=30)
    chip = plain(_dyed(34, 34, 36))
    for x, y, wide, deep in ((-38, 14, 34, 34), (20, -22, 22, 14), (-52, -26, 14, 20), (62, 18, 12, 12)):
        at = np.array([-71.0, -66, 2.5]) + flat * x - down * y
        pieces += box((chip,), at, (wide, deep, 4), 0.16, gloss=0.25, thing=31)
    metal = Print(materials.metal(np.random.default_rng(8)))
    steel = labels.engraved(metal, make_data_matrix("SN 00418-22 LOT 9"), "SN 00418-22")
    pieces += box(
        (metal, steel, metal), np.array([112.0, -48, 0]), (120, 84, 16), -0.2, gloss=0.5, shininess=25, thing=40
    )
    return _view(pieces, _light(-0.5, -0.45, 0.9, 0.45), (14, -370, 262), (-6, -4, 34), 1120)


DEMOS: dict[str, Callable[[np.random.Generator], View]] = {
    "parcels": parcels,
    "shelf": shelf,
    "arena": arena,
    "bench": bench,
}


def draw_demo(name: str, quality: int = 88) -> bytes:
    """One of `DEMOS` as a JPEG of 1024×768 pixels; always the same."""
    rng = np.random.default_rng(7)
    pieces, camera, light, optics = DEMOS[name](rng)
    picture = photograph(render(pieces, camera, light, supersample=2), optics, rng)
    # As most pictures that people send on, it is shrunk from the sensor's size.
    picture = cv2.resize(picture, SIZE, interpolation=cv2.INTER_AREA)
    _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(jpeg.tobytes())
