"""What tables, walls, boxes and floors are made of: square textures that repeat."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from training.heldout.fields import branches, cells, gray_scott, relief, spectral

__all__ = ["MATERIALS", "any_hue", "cardboard", "draw_material", "hsv"]

Texture = NDArray[np.uint8]
SIZE = 512


def hsv(hue: float, saturation: float, value: float) -> NDArray[np.float32]:
    """BGR, 0..255, of a hue in degrees and a saturation and value of 0..1."""
    pixel = np.array([[[hue % 360, np.clip(saturation, 0, 1), np.clip(value, 0, 1)]]], np.float32)
    return np.asarray(cv2.cvtColor(pixel, cv2.COLOR_HSV2BGR)[0, 0] * 255, np.float32)


def any_hue(rng: np.random.Generator) -> float:
    """A hue in degrees, more often that of wood, earth or slate than of paint."""
    return float(rng.choice([rng.normal(32, 10), rng.normal(210, 14), rng.uniform(0, 360)], p=[0.45, 0.2, 0.35]))


def _between(dark: NDArray[np.float32], light: NDArray[np.float32], amount: NDArray[np.float32]) -> NDArray[np.float32]:
    return dark + (light - dark) * amount[..., None]


def _finish(colour: NDArray[np.float32], shade: NDArray[np.float32] | float = 1.0) -> Texture:
    lit = colour * (shade[..., None] if isinstance(shade, np.ndarray) else shade)
    return np.clip(lit, 0, 255).astype(np.uint8)


def wood(rng: np.random.Generator) -> Texture:
    """Planks sawn from warped rings of growth."""
    planks = int(rng.integers(2, 7))
    warp = spectral(rng, SIZE, 2.2, 3.0)
    fibre = spectral(rng, SIZE, 1.0, 12.0)
    row, column = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) / SIZE
    plank = (column * planks).astype(int)
    centre, depth = rng.uniform(-0.3, 1.3, planks), rng.uniform(0.05, 0.6, planks)
    from_heart = column * planks % 1 - centre[plank]
    rings = np.sqrt(from_heart**2 + depth[plank] ** 2) + 0.5 * warp + 0.03 * np.sin(2 * np.pi * row)
    grain = 0.5 + 0.5 * np.sin(rings * 2 * np.pi * rng.uniform(7, 16))
    hue, value = rng.uniform(12, 38), rng.uniform(0.35, 0.9)
    light = hsv(hue, rng.uniform(0.25, 0.6), value)
    tone = (0.55 * grain + 0.45 * fibre).astype(np.float32)
    gap = 1 - 0.6 * (np.abs(column * planks % 1 - 0.5) > 0.5 - 0.004 * planks)
    varied = rng.uniform(0.85, 1.1, planks)[plank] * gap
    return _finish(_between(light * 0.62, light, tone), varied.astype(np.float32))


def plaster(rng: np.random.Generator) -> Texture:
    """A rough coat, lit from the side."""
    height = spectral(rng, SIZE, rng.uniform(1.3, 2.2))
    base = hsv(any_hue(rng), rng.uniform(0, 0.25), rng.uniform(0.45, 0.98))
    lit = relief(height, rng.uniform(0, 2 * np.pi), rng.uniform(8, 40))
    return _finish(np.broadcast_to(base, (SIZE, SIZE, 3)), 0.3 + lit)


def stone(rng: np.random.Generator) -> Texture:
    """Polished stone with veins."""
    cloud, vein = spectral(rng, SIZE, 1.7), spectral(rng, SIZE, 1.9)
    base = hsv(any_hue(rng), rng.uniform(0, 0.3), rng.uniform(0.25, 0.95))
    colour = _between(base * 0.6, np.minimum(base * 1.15, 255), cloud)
    thin = np.exp(-((np.abs(vein - 0.5) / 0.012) ** 2)).astype(np.float32)
    return _finish(_between(colour, np.full(3, rng.choice([30.0, 235.0]), np.float32), 0.6 * thin))


def pebbles(rng: np.random.Generator) -> Texture:
    """Rounded stones, one colour a cell."""
    count = int(rng.integers(60, 500))
    distance, owner = cells(rng, SIZE, count)
    base = hsv(any_hue(rng), rng.uniform(0.02, 0.3), rng.uniform(0.4, 0.85))
    each = np.clip(base * rng.uniform(0.55, 1.25, (count, 1)) + rng.normal(0, 9, (count, 3)), 0, 255)
    bump = np.sqrt(np.clip(1 - distance**2 * 1.2, 0, 1)).astype(np.float32)
    shade = relief(cv2.GaussianBlur(bump, (0, 0), 2), rng.uniform(0, 6.28), 25.0)
    return _finish(each.astype(np.float32)[owner], (0.25 + shade) * (0.5 + 0.5 * bump))


def terrazzo(rng: np.random.Generator) -> Texture:
    """Chips of several colours in cement."""
    count = int(rng.integers(200, 900))
    distance, owner = cells(rng, SIZE, count)
    palette = np.stack([hsv(any_hue(rng), rng.uniform(0, 0.5), rng.uniform(0.2, 0.95)) for _ in range(5)])
    ground = hsv(any_hue(rng), 0.08, rng.uniform(0.6, 0.95))
    chip = (distance < rng.uniform(0.15, 0.45, count)[owner]).astype(np.float32)
    return _finish(_between(np.broadcast_to(ground, (SIZE, SIZE, 3)), palette[rng.integers(0, 5, count)][owner], chip))


def coral(rng: np.random.Generator) -> Texture:
    """Spots and mazes of reaction and diffusion, as on printed cloth or hide."""
    field = np.roll(gray_scott(int(rng.integers(5))), tuple(rng.integers(0, 96, 2)), (0, 1))
    # Twice as many cells as the simulation has, and three more on each side that the seams interpolate well.
    wide = np.pad(np.tile(field, (2, 2)), 3, mode="wrap")
    large = cv2.resize(wide, None, fx=SIZE / 192, fy=SIZE / 192, interpolation=cv2.INTER_CUBIC)
    field = large[8 : 8 + SIZE, 8 : 8 + SIZE]
    first = hsv(any_hue(rng), rng.uniform(0.1, 0.7), rng.uniform(0.2, 0.95))
    second = hsv(any_hue(rng), rng.uniform(0.1, 0.5), rng.uniform(0.2, 0.95))
    return _finish(_between(first, second, np.clip(field * 3 - 0.8, 0, 1)))


def leaves(rng: np.random.Generator) -> Texture:
    """Twigs over soil or a printed pattern of twigs."""
    ground = _between(
        hsv(any_hue(rng), 0.35, rng.uniform(0.15, 0.5)),
        hsv(rng.uniform(20, 140), 0.3, rng.uniform(0.5, 0.9)),
        spectral(rng, SIZE, 1.4),
    )
    twigs = branches(rng, SIZE, int(rng.integers(15, 60)))
    return _finish(_between(ground, hsv(rng.uniform(20, 160), rng.uniform(0.2, 0.7), rng.uniform(0.2, 0.8)), twigs))


def cloth(rng: np.random.Generator) -> Texture:
    """A weave of two threads, sometimes in wide stripes or checks."""
    threads = int(rng.integers(40, 120))
    row, column = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) * np.float32(np.pi * threads / SIZE)
    over = np.sin(row) * np.sin(column) > 0
    profile = np.where(over, np.abs(np.sin(row)), np.abs(np.sin(column)))
    first = hsv(any_hue(rng), rng.uniform(0.05, 0.8), rng.uniform(0.2, 0.9))
    second = hsv(any_hue(rng), rng.uniform(0.05, 0.6), rng.uniform(0.3, 0.95))
    stripes = int(rng.integers(1, 6))
    wide = np.sin(2 * np.pi * stripes * np.arange(SIZE) / SIZE) > rng.uniform(-0.3, 0.8)
    pattern = np.stack(
        [
            wide[None, :] & (rng.random() < 0.6) | np.zeros((SIZE, 1), bool),
            wide[:, None] & np.ones((1, SIZE), bool) & (rng.random() < 0.5),
        ]
    ).mean(axis=0)
    shade = (0.55 + 0.4 * profile + 0.1 * spectral(rng, SIZE, 0.6)).astype(np.float32)
    return _finish(_between(first, second, pattern.astype(np.float32)), shade)


def metal(rng: np.random.Generator) -> Texture:
    """Brushed sheet metal or machined castings."""
    brushed = spectral(rng, SIZE, rng.uniform(0.2, 0.7), rng.uniform(6, 25))
    cloud = spectral(rng, SIZE, 2.2)
    base = hsv(rng.choice([35.0, 210.0]), rng.uniform(0.0, 0.12), rng.uniform(0.45, 0.85))
    return _finish(np.broadcast_to(base, (SIZE, SIZE, 3)), 0.75 + 0.3 * brushed + 0.15 * cloud)


def tiles(rng: np.random.Generator) -> Texture:
    """Glazed tiles with joints: the squares of kitchens and halls."""
    count = int(rng.integers(2, 7))
    row, column = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) * count / SIZE
    edge = np.minimum(np.minimum(row % 1, 1 - row % 1), np.minimum(column % 1, 1 - column % 1))
    which = rng.permutation(count * count)[(row.astype(int) * count + column.astype(int))]
    glaze = hsv(any_hue(rng), rng.uniform(0, 0.5), rng.uniform(0.4, 0.95))
    varied = 1 + rng.uniform(0, 0.12) * (which / count**2 - 0.5)
    joint = np.clip((edge - 0.02) / 0.015, 0, 1).astype(np.float32)
    mortar = hsv(40, 0.1, rng.uniform(0.3, 0.8))
    shade = (varied * (0.93 + 0.1 * spectral(rng, SIZE, 1.6))).astype(np.float32)
    return _finish(_between(mortar, np.broadcast_to(glaze, (SIZE, SIZE, 3)), joint), shade)


def laminate(rng: np.random.Generator) -> Texture:
    """A nearly plain desk top."""
    base = hsv(any_hue(rng), rng.uniform(0, 0.35), rng.uniform(0.2, 0.97))
    speckle = spectral(rng, SIZE, rng.uniform(0.1, 1.2))
    return _finish(np.broadcast_to(base, (SIZE, SIZE, 3)), 0.92 + 0.12 * speckle)


def cardboard(rng: np.random.Generator) -> Texture:
    """Kraft board whose flutes show through."""
    base = hsv(rng.uniform(24, 34), rng.uniform(0.3, 0.5), rng.uniform(0.5, 0.78))
    flutes = np.sin(np.arange(SIZE) * 2 * np.pi * 64 / SIZE).astype(np.float32)[None, :]
    shade = 0.93 + 0.12 * spectral(rng, SIZE, 0.9) + 0.012 * flutes
    return _finish(np.broadcast_to(base, (SIZE, SIZE, 3)), shade.astype(np.float32))


MATERIALS: tuple[Callable[[np.random.Generator], Texture], ...] = (
    wood,
    plaster,
    stone,
    pebbles,
    terrazzo,
    coral,
    leaves,
    cloth,
    metal,
    tiles,
    laminate,
)


def draw_material(rng: np.random.Generator) -> Texture:
    """A random material: uint8 BGR (512, 512, 3)."""
    return MATERIALS[rng.integers(len(MATERIALS))](rng)
