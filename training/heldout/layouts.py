"""Arrangements of things before a camera: a table or wall, shelves, one thing close by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.heldout.artwork import Print, paste
from training.heldout.camera import Camera, look_at
from training.heldout.decoys import draw_decoy
from training.heldout.materials import cardboard, draw_material, hsv
from training.heldout.prints import design, print_symbol, worn
from training.heldout.render import Piece
from training.heldout.symbols import Symbol
from training.heldout.things import box, can, ground, plain, sheet, turned
from training.heldout.truth import LEAST_MODULE

__all__ = ["LAYOUTS", "Arrangement", "Layout", "Order", "Stock", "draw_stock", "wide_camera"]

Floats = NDArray[np.floating[Any]]


class Order(NamedTuple):
    """One thing wanted: the symbol on it (None: a decoy) and how many pixels long that should be."""

    symbol: Symbol | None
    pixels: float


class Stock(NamedTuple):
    """Textures of a scene, drawn once however often its things are rearranged."""

    floor: Print
    wall: Print
    board: Print
    side: Print


def draw_stock(rng: np.random.Generator) -> Stock:
    """Random textures for what bears no symbol."""
    floor, wall, board = (Print(draw_material(rng)) for _ in range(3))
    return Stock(floor, wall, board, Print(cardboard(rng)))


class Arrangement(NamedTuple):
    """Things and the camera before them; `focus` is the depth of what matters."""

    pieces: list[Piece]
    camera: Camera
    focus: float


# Right and down, as one sees them, on walls that face the camera and on floors.
_UPRIGHT = (np.array([1.0, 0, 0]), np.array([0, 0, -1.0]))
_LEVEL = (np.array([1.0, 0, 0]), np.array([0, -1.0, 0]))


def wide_camera(rng: np.random.Generator, size: tuple[int, int], position: Floats, target: Floats) -> Camera:
    """A camera with a lens between a short telephoto and a wide angle, held by hand."""
    longer = max(size)
    focal = longer / 2 / np.tan(np.radians(rng.uniform(18, 36)))
    barrel = rng.uniform(-0.16, 0.05)
    shake = rng.normal(0, 0.012 * longer, 2) if rng.random() < 0.35 else np.zeros(2)
    return Camera(
        size,
        float(focal),
        look_at(position, target, float(rng.normal(0, 0.12))),
        position,
        (float(barrel), float(rng.uniform(0, 0.05))),
        (float(rng.normal(0, 0.001)), float(rng.normal(0, 0.001))),
        (float(shake[0]), float(shake[1])),
    )


def _on_ground(camera: Camera, pixel: Floats) -> Floats:
    """Where the ray through a pixel meets z = 0."""
    x, y = camera.rays(np.asarray(pixel, float))
    way = camera.rotation.T @ np.array([x, y, 1.0])
    if way[2] > -0.05:
        way[2] = -0.05
    return camera.position - way * camera.position[2] / way[2]


def _face(rng: np.random.Generator, order: Order) -> tuple[Print, float]:
    """A print, and how many pixels one of its texels should become."""
    if order.symbol is None:
        part = draw_decoy(rng)
        return part, order.pixels / max(part.image.shape[:2])
    modules = max(order.symbol.dark.shape)
    pixels = max(order.pixels, 1.5 * modules * LEAST_MODULE[order.symbol.class_id])
    texel = int(np.clip(round(2 * pixels / modules), 4, 16))
    return print_symbol(rng, order.symbol, texel), pixels / (texel * modules)


def _packed(rng: np.random.Generator, stock: Stock, part: Print, spare: float) -> Print:
    """A print glued onto a larger face of board or coloured design, now and then on its side."""
    quarters = int(rng.choice([0, 0, 0, 1, 2, 3]))
    turned_shape = part.image.shape[1::-1] if quarters % 2 == 0 else part.image.shape[:2]
    width, height = (int(side * rng.uniform(1.05, 1 + spare)) + 2 for side in turned_shape)
    if rng.random() < 0.5:
        board = stock.side.image
        repeats = (height // board.shape[0] + 1, width // board.shape[1] + 1, 1)
        face = Print(np.ascontiguousarray(np.tile(board, repeats)[:height, :width]))
    else:
        face = design(rng, width, height)
    x = int(rng.uniform(0, width - turned_shape[0]))
    y = int(rng.uniform(0, height - turned_shape[1]))
    return paste(face, part, x, y, quarters)


def _gloss(rng: np.random.Generator) -> dict[str, float]:
    shiny = rng.random() < 0.35
    return {"gloss": float(rng.uniform(0.1, 0.8)) if shiny else 0.0, "shininess": float(rng.uniform(15, 120))}


def make_sheet(
    rng: np.random.Generator, stock: Stock, order: Order, at: Floats, scale: float, yaw: float, thing: int
) -> list[Piece]:
    """A sheet on the ground; `scale` is world units a pixel there."""
    part, pixels = _face(rng, order)
    width = part.image.shape[1] * pixels * scale
    bend = float(rng.uniform(0.15, 0.9) * rng.choice([-1, 1])) if rng.random() < 0.4 else 0.0
    lift = scale * (1 + thing % 7)
    if bend > 0:
        lift += width / bend * (1 - np.cos(bend / 2))
    centre = at + np.array([0, 0, lift])
    return sheet(part, centre, turned([1, 0, 0], yaw), turned([0, -1, 0], yaw), width, bend, thing=thing, **_gloss(rng))


def make_box(
    rng: np.random.Generator,
    stock: Stock,
    order: Order,
    at: Floats,
    scale: float,
    yaw: float,
    thing: int,
    on_top: bool = False,
) -> list[Piece]:
    """A box with the print on its front or top."""
    part, pixels = _face(rng, order)
    face = _packed(rng, stock, part, 0.9)
    height, width = (side * pixels * scale for side in face.image.shape[:2])
    third = float(min(width, height) * rng.uniform(0.3, 1.0))
    other = worn(rng, design(rng, 200, 200)) if rng.random() < 0.5 else stock.side
    if on_top:
        return box((other, face, other), at, (width, height, third), yaw, thing=thing, **_gloss(rng))
    return box((face, other), at, (width, third, height), yaw, thing=thing, **_gloss(rng))


def make_can(
    rng: np.random.Generator, stock: Stock, order: Order, at: Floats, scale: float, yaw: float, thing: int
) -> list[Piece]:
    """A can or bottle's body that stands; the print is part of what is wrapped around."""
    part, pixels = _face(rng, order)
    if order.symbol is not None and order.symbol.class_id == 1 and rng.random() < 0.4:
        blank = Print(np.zeros((part.image.shape[1], part.image.shape[0], 3), np.uint8))
        part = paste(blank, part, 0, 0, 1)
    rows, columns = part.image.shape[:2]
    # A symbol that reaches more than about 50 degrees to each side would vanish behind the horizon.
    girth = int(columns * rng.uniform(4.2, 6.5))
    tall = int(max(rows * rng.uniform(1.1, 2.0), girth / np.pi * rng.uniform(0.8, 1.6)))
    wrap = paste(design(rng, girth, tall), part, (girth - columns) // 2, int(rng.uniform(0, tall - rows)))
    radius = girth * pixels * scale / (2 * np.pi)
    lid = plain(hsv(40, 0.05, rng.uniform(0.5, 0.85)))
    front = turned([0, -1, 0], yaw)
    up = np.array([0.0, 0.0, 1.0])
    look: dict[str, Any] = {"gloss": float(rng.uniform(0.1, 0.9)), "shininess": float(rng.uniform(20, 90))}
    return can(wrap, lid, at, up, front, radius, tall * pixels * scale, thing=thing, **look)


def _spots(rng: np.random.Generator, size: tuple[int, int], orders: list[Order]) -> NDArray[np.float64]:
    """A point of the picture for each thing, where it overlaps little (Mitchell's best of several candidates)."""
    spots, radii = np.empty((0, 2)), np.array([0.7 * order.pixels for order in orders])
    for index, radius in enumerate(radii):
        border = np.minimum(np.maximum(0.1 * np.array(size), 0.8 * radius), 0.45 * np.array(size))
        tries = border + rng.random((16, 2)) * (np.array(size) - 2 * border)
        if index:
            gaps = np.linalg.norm(tries[:, None] - spots[None], axis=2) - radii[:index] - radius
            tries = tries[[int(gaps.min(axis=1).argmax())]]
        spots = np.vstack([spots, tries[:1]])
    return spots


def table(rng: np.random.Generator, size: tuple[int, int], orders: list[Order], stock: Stock) -> Arrangement:
    """Things on a table or floor seen from above; from straight above it passes for a wall."""
    pitch = np.radians(rng.uniform(28, 88))
    position = 1000 * np.array([0, -np.cos(pitch), np.sin(pitch)])
    camera = wide_camera(rng, size, position, np.zeros(3))
    tile = 1000 * max(size) / camera.focal * rng.uniform(0.35, 1.0)
    grain = rng.uniform(0, 2 * np.pi)
    floor = ground(stock.floor, np.zeros(3), turned([1, 0, 0], grain), turned([0, -1, 0], grain), 30000, tile)
    # Seen at a low angle the ground would end before the picture does.
    wall = ground(stock.wall, np.array([0, 2600.0, 0]), *_UPRIGHT, 30000, 2 * tile)
    pieces, upright = [floor, wall], rng.random() < 0.5
    for thing, (order, spot) in enumerate(zip(orders, _spots(rng, size, orders), strict=True)):
        at = _on_ground(camera, spot)
        scale = float(np.linalg.norm(at - position)) / camera.focal
        yaw = rng.normal(0, 0.25) if upright else rng.uniform(-np.pi, np.pi)
        kind = rng.random()
        if kind < 0.45 or order.pixels > 0.45 * max(size):
            pieces += make_sheet(rng, stock, order, at, scale, yaw, thing)
        elif kind < 0.75 or pitch > 1.0:
            on_top = bool(rng.random() < np.sin(pitch) ** 2)
            yaw = yaw if on_top else rng.normal(0, 0.4)
            pieces += make_box(rng, stock, order, at, scale, yaw, thing, on_top)
        else:
            pieces += make_can(rng, stock, order, at, scale, rng.normal(0, 0.25), thing)
    return Arrangement(pieces, camera, 1000)


def shelf(rng: np.random.Generator, size: tuple[int, int], orders: list[Order], stock: Stock) -> Arrangement:
    """Packages side by side on boards before a wall."""
    turn, pitch = rng.normal(0, 0.3), rng.uniform(-0.1, 0.3)
    position = 1000 * np.array([np.sin(turn), -np.cos(turn) * np.cos(pitch), np.sin(pitch)])
    camera = wide_camera(rng, size, position, np.zeros(3))
    scale = 1000 / camera.focal
    rows = int(rng.integers(1, 4)) if size[1] >= size[0] else int(rng.integers(1, 3))
    spacing = size[1] * scale * rng.uniform(0.75, 1.1) / rows
    pieces = [ground(stock.wall, np.array([0, 260.0, 0]), *_UPRIGHT, 30000, 700)]
    order_of = rng.permutation(len(orders))
    for row in range(rows + 1):
        z = (row - rows / 2) * spacing
        pieces += box((stock.board,), np.array([0, 60.0, z - 18]), (4000, 400, 18), 0.0, tiles=(6.0, 0.6), thing=-1)
    for row in range(rows):
        mine = [orders[i] for i in order_of[row::rows]]
        z = (row - rows / 2) * spacing + 0.5
        centres = (np.arange(len(mine)) + 0.5) / max(len(mine), 1) - 0.5 + rng.normal(0, 0.02, len(mine))
        for column, order in enumerate(mine):
            at = np.array([centres[column] * size[0] * scale * 0.95, rng.uniform(-60, 20), z])
            thing = row * 100 + column
            make, facing = (make_can if rng.random() < 0.5 else make_box), rng.normal(turn, 0.2)
            for share in (0.4, 0.24):
                fitting = Order(order.symbol, min(order.pixels, share * spacing / scale))
                made = make(rng, stock, fitting, at, scale, facing, thing)
                # What would reach through the board above is no package for this shelf.
                if made[0].shape.point(np.zeros(2))[2] < z + 0.97 * spacing:
                    pieces += made
                    break
    return Arrangement(pieces, camera, 1000)


def close_by(rng: np.random.Generator, size: tuple[int, int], orders: list[Order], stock: Stock) -> Arrangement:
    """One thing near the lens; the others stand behind it, out of focus, before a far wall."""
    turn, pitch = rng.normal(0, 0.35), rng.uniform(0.0, 0.7)
    position = 1000 * np.array([np.sin(turn) * np.cos(pitch), -np.cos(turn) * np.cos(pitch), np.sin(pitch)])
    camera = wide_camera(rng, size, position, np.zeros(3))
    scale = 1000 / camera.focal
    largest = max(orders, key=lambda order: (order.symbol is not None, order.pixels))
    offset = rng.uniform(-0.12, 0.12, 2) * size * scale
    kind = rng.random()
    if kind < 0.4:
        part, pixels = _face(rng, largest)
        right, down = camera.rotation[0], camera.rotation[1]
        width = part.image.shape[1] * pixels * scale
        yaw = rng.normal(0, 0.3)
        bend = float(rng.choice([0, 0.4, 0.8, -0.5]))
        tilted = np.cos(yaw) * right + np.sin(yaw) * camera.rotation[2]
        pieces = sheet(part, right * offset[0] + down * offset[1], tilted, down, width, bend, thing=0, **_gloss(rng))
        floor = -float(rng.uniform(0.3, 0.45) * size[1] * scale)
    else:
        make = make_can if kind < 0.75 else make_box
        pieces = make(rng, stock, largest, np.zeros(3), scale, rng.normal(turn, 0.3), 0)
        height = pieces[0].shape.point(np.array([[0.5, 0.0]]))[0, 2]
        floor = -float(height) / 2
        pieces = make(rng, stock, largest, np.array([offset[0], 0, floor]), scale, rng.normal(turn, 0.3), 0)
    pieces.append(ground(stock.floor, np.array([0, 0, floor]), *_LEVEL, 20000, 800))
    back = rng.uniform(900, 2500)
    pieces.append(ground(stock.wall, np.array([0, back, 0]), *_UPRIGHT, 20000, 1500))
    for thing, order in enumerate((o for o in orders if o is not largest), 1):
        side = (-1) ** thing * rng.uniform(0.25, 0.6)
        at = np.array([side * size[0] * scale, rng.uniform(150, 700), floor])
        make = make_can if rng.random() < 0.5 else make_box
        pieces += make(rng, stock, order, at, scale * (1000 + at[1]) / 1000, rng.normal(turn, 0.3), thing)
    return Arrangement(pieces, camera, 1000)


Layout = Callable[[np.random.Generator, tuple[int, int], list[Order], Stock], Arrangement]

LAYOUTS: tuple[Layout, ...] = (table, shelf, close_by)
