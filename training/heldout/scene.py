"""A test picture from a seed: what is in it, how it is lit, which camera took it."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from training.heldout.fields import branches, spectral
from training.heldout.layouts import LAYOUTS, Arrangement, Layout, Order, draw_stock
from training.heldout.render import Light, render
from training.heldout.sensor import Optics, photograph
from training.heldout.symbols import draw_symbol
from training.heldout.truth import Truth, prune
from training.sample import Sample

__all__ = ["SIZES", "Scene", "make_scene"]

SIZES = ((640, 480), (800, 600), (720, 1280), (1024, 768), (1280, 720), (600, 800), (960, 960), (768, 512))
_EMPTY = 0.08
_COUNT_ODDS = (0.26, 0.24, 0.18, 0.14, 0.1, 0.08)
# Barcodes are made larger, so that fewer of them are pruned.
_CLASS_ODDS = np.array([1.0, 0.92, 1.0, 1.0])
_LAYOUT_ODDS = (0.5, 0.27, 0.23)
_ATTEMPTS = 12


class Scene(NamedTuple):
    """A finished test picture.

    Attributes
    ----------
    jpeg : bytes
    truths : list of Truth
    """

    jpeg: bytes
    truths: list[Truth]

    def sample(self) -> Sample:
        """The picture decoded, with its boxes."""
        image = np.asarray(cv2.imdecode(np.frombuffer(self.jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)
        boxes = np.array([truth.xyxy for truth in self.truths], np.float32).reshape(-1, 4)
        return Sample(image, np.array([truth.symbol.class_id for truth in self.truths], np.int64), boxes)


def draw_light(rng: np.random.Generator) -> Light:
    """Sun, lamp, window or overcast sky."""
    height, azimuth = rng.uniform(0.45, 1.35), rng.uniform(0, 2 * np.pi)
    toward = np.array([np.cos(height) * np.cos(azimuth), np.cos(height) * np.sin(azimuth), np.sin(height)])
    # Nobody photographs a symbol against the light on purpose: the lamp is on the camera's side of the scene.
    toward[1] = -abs(toward[1])
    warm = rng.normal(0, 0.09)
    tint = np.array([1 - warm, 1.0, 1 + warm])
    sky = rng.uniform(0.15, 0.6)
    screen = None
    kind = rng.random()
    if kind < 0.1:
        screen = np.clip(1.15 - 1.3 * cv2.GaussianBlur(branches(rng, 256, 10), (0, 0), 2), 0.15, 1).astype(np.float32)
    elif kind < 0.2:
        bars = np.abs((np.arange(256) / 256 * int(rng.integers(2, 5))) % 1 - 0.5) < 0.4
        screen = np.where(bars[None, :] & bars[:, None], 1.0, 0.35).astype(np.float32)
    elif kind < 0.3:
        screen = np.clip(0.45 + 0.9 * spectral(rng, 256, 2.4), 0, 1).astype(np.float32)
    return Light(
        toward,
        tint * (1 - sky),
        tint[::-1] * sky,
        float(rng.uniform(0.8, 8)),
        screen,
        float(rng.uniform(500, 1500)),
        float(rng.uniform(0.8, 2.0)) if rng.random() < 0.3 else np.inf,
    )


def draw_optics(rng: np.random.Generator, focus: float, truths: list[Truth], longer: int) -> Optics:
    """A camera between a good one and a cheap one; its blur leaves every symbol's modules apart."""
    focus *= rng.uniform(0.93, 1.07)
    most = min([2.2, *(0.4 * truth.module for truth in truths)])
    widest = min([8.0, *(0.5 * truth.module / (abs(1 - focus / truth.depth) + 1e-3) for truth in truths)])
    angle, length = rng.uniform(0, np.pi), rng.uniform(0, 1.6 * most) if rng.random() < 0.25 else 0.0
    return Optics(
        focus=focus,
        aperture=float(min(rng.uniform(0, 10), widest)) if rng.random() < 0.55 else 0.0,
        aberration=float(rng.uniform(0, 1.6) / longer) if rng.random() < 0.5 else 0.0,
        vignette=float(rng.uniform(0, 0.4)),
        motion=(float(length * np.cos(angle)), float(length * np.sin(angle))),
        electrons=float(np.exp(rng.uniform(np.log(500), np.log(20000)))),
        read_noise=float(rng.uniform(1, 6)),
        exposure=float(rng.uniform(0.45, 1.0)),
        contrast=float(rng.uniform(0, 0.5)),
        sharpening=float(rng.uniform(0, 0.8)),
    )


def _plan(rng: np.random.Generator) -> tuple[Layout, tuple[int, int], list[int], int]:
    """Layout, size of the picture, classes of the symbols, number of decoys."""
    layout = LAYOUTS[rng.choice(len(LAYOUTS), p=_LAYOUT_ODDS)]
    count = 0 if rng.random() < _EMPTY else 1 + int(rng.choice(6, p=_COUNT_ODDS))
    classes = rng.choice(4, count, p=_CLASS_ODDS / _CLASS_ODDS.sum()).tolist()
    decoys = int(rng.integers(2, 6)) if count == 0 else int(rng.integers(0, 4))
    return layout, SIZES[rng.integers(len(SIZES))], classes, decoys


def _orders(rng: np.random.Generator, longer: int, classes: list[int], decoys: int) -> list[Order]:
    """Symbols, smaller the more there are, and decoys."""
    least, most = np.log(0.055), np.log(0.7 / np.sqrt(max(len(classes), 1)))
    orders = []
    for class_id in classes:
        share = float(np.exp(rng.uniform(least, most)))
        # Bars need more room than squares, or their modules blend into grey.
        orders.append(Order(draw_symbol(rng, class_id), longer * max(share, 0.11 if class_id == 1 else 0.0)))
    return orders + [Order(None, float(rng.uniform(0.08, 0.3) * longer)) for _ in range(decoys)]


def _arrange(seed: int, index: int) -> tuple[np.random.Generator, Arrangement, list[Truth]]:
    """The first arrangement in which three quarters of the symbols wanted can be made out, or the best of all."""
    plans = np.random.default_rng([seed, index, _ATTEMPTS])
    layout, size, classes, decoys = _plan(plans)
    stock = draw_stock(plans)
    best = None
    for attempt in range(_ATTEMPTS):
        rng = np.random.default_rng([seed, index, attempt])
        arrangement = layout(rng, size, _orders(rng, max(size), classes, decoys), stock)
        pieces, truths = prune(arrangement.pieces, arrangement.camera)
        if best is None or len(truths) > len(best[2]):
            best = rng, arrangement._replace(pieces=pieces), truths
        if 4 * len(truths) >= 3 * len(classes):
            break
    if best is None or (classes and not best[2]):
        raise RuntimeError(
            f"Scene {index} of seed {seed} shows none of its {len(classes)} symbols in {_ATTEMPTS} arrangements: "
            f"use another seed."
        )
    return best


def make_scene(seed: int, index: int) -> Scene:
    """Scene `index` of the set `seed`; always the same for the same two numbers.

    Parameters
    ----------
    seed, index : int

    Returns
    -------
    Scene
    """
    rng, arrangement, truths = _arrange(seed, index)
    camera = arrangement.camera
    frame = render(arrangement.pieces, camera, draw_light(rng))
    optics = draw_optics(rng, arrangement.focus, truths, max(camera.size))
    picture = photograph(frame, optics, rng)
    quality = int(rng.integers(45, 96))
    _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return Scene(jpeg.tobytes(), truths)
