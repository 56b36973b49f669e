"""Pictures of codes in coloured frames, and a stand-in for the detector that finds the frames."""

from __future__ import annotations

import cv2
import numpy as np

from darknet_py import Detections

NAMES = ("qr", "barcode", "datamatrix", "aruco")
#: Colour (BGR) of the frame that the stand-in knows each class by.
FRAMES = ((0, 0, 255), (0, 255, 0), (255, 0, 0), (255, 0, 255))


class FrameDetector:
    """Finds coloured frames, if they would still be 16 pixels large in a network input of 416x416."""

    names = NAMES

    def detect(self, image: np.ndarray, thresh: float = 0.25) -> Detections:
        height, width = image.shape[:2]
        rows = []
        for class_id, color in enumerate(FRAMES):
            mask = cv2.inRange(image, color, color)
            _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
            for left, top, w, h, _ in stats[1:]:
                seen = min(w / width, h / height) * 416
                confidence = min(0.5 + seen / 1000, 0.99)
                if seen >= 16 and confidence > thresh:
                    rows.append((class_id, confidence, (left, top, left + w, top + h)))
        class_id, confidence, xyxy = zip(*rows, strict=True) if rows else ((), (), ())
        names = np.array([NAMES[i] for i in class_id], np.str_)
        return Detections(xyxy, confidence, class_id, names, width, height, confidence)


def desk(width: int, height: int) -> np.ndarray:
    """A grey picture with soft stains."""
    stains = np.random.default_rng(0).integers(120, 200, (height // 50, width // 50, 3), np.uint8)
    return cv2.resize(stains, (width, height), interpolation=cv2.INTER_CUBIC)


def put(image: np.ndarray, code: np.ndarray, class_id: int, left: int, top: int) -> tuple[int, int, int, int]:
    """Lay a code with a white rim on a picture and frame it; the frame's box."""
    sheet = cv2.copyMakeBorder(code, 12, 12, 12, 12, cv2.BORDER_CONSTANT, value=255)
    height, width = sheet.shape
    image[top : top + height, left : left + width] = sheet[..., None]
    cv2.rectangle(image, (left, top), (left + width - 1, top + height - 1), FRAMES[class_id], 1)
    return left, top, left + width, top + height


def qr(text: str, side: int) -> np.ndarray:
    code = cv2.QRCodeEncoder.create().encode(text)
    return cv2.resize(code[2:-2, 2:-2], (side, side), interpolation=cv2.INTER_NEAREST)


def marker(dictionary: str, number: int, side: int, border: int = 1) -> np.ndarray:
    known = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, dictionary))
    return cv2.aruco.generateImageMarker(known, number, side, borderBits=border)


def ean13(digits: str) -> np.ndarray:
    """An EAN-13 as its specification draws it, 3 pixels per module."""
    left = "0001101 0011001 0010011 0111101 0100011 0110001 0101111 0111011 0110111 0001011".split()
    parities = "LLLLLL LLGLGG LLGGLG LLGGGL LGLLGG LGGLLG LGGGLL LGLGLG LGLGGL LGGLGL".split()
    right = ["".join("10"[int(bit)] for bit in code) for code in left]
    sets = {"L": left, "R": right, "G": [code[::-1] for code in right]}
    halves = digits[1:7], digits[7:]
    kinds = parities[int(digits[0])], "RRRRRR"
    coded = [
        "".join(sets[kind][int(digit)] for kind, digit in zip(*pair, strict=True))
        for pair in zip(kinds, halves, strict=True)
    ]
    bits = f"101{coded[0]}01010{coded[1]}101"
    row = np.repeat([255 * (bit == "0") for bit in bits], 3).astype(np.uint8)
    return np.pad(np.tile(row, (120, 1)), 20, constant_values=255)
