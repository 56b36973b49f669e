"""Sections that are no layers of AlexeyAB's Darknet: whose they are, and what may be meant."""

from __future__ import annotations

from collections.abc import Sequence

from darknet_py.cfg import Section
from darknet_py.characters import strange
from darknet_py.errors import CfgError, UnsupportedError
from darknet_py.layers import LAYERS
from darknet_py.layers.base import did_you_mean

__all__ = ["name_pjreddies", "unknown_layer"]

#: Layer types of other people's Darknets.
_OTHERS = {
    **dict.fromkeys(("implicit_add", "implicit_mul", "shift_channels", "control_channels", "alternate_channels"),
                    "WongKinYiu's Darknet"),
    "yolo4": "sowson's Darknet", "prelu": "other people's Darknets", "se": "other people's PyTorch programs",
    "depthwise_convolutional": "forks of Darknet for MobileNet", "route_lhalf": "forks of Darknet for yolov4-tiny",
    "select": "darkflow",
}  # fmt: skip

#: Layers of pjreddie's Darknet, which are computed here, and which AlexeyAB's does not know.
_PJREDDIES = ("logistic", "l2norm", "deconvolutional", "deconv", "iseg")


def unknown_layer(section: Section) -> CfgError | UnsupportedError:
    """What is wrong with a section that is no layer."""
    if section.kind in _OTHERS:
        return UnsupportedError(
            f"{section.where}: not supported: a layer type of {_OTHERS[section.kind]}, which AlexeyAB's Darknet has "
            "not got: run it with the program it was made for"
        )
    return CfgError(f"{section.where}: {_no_such_layer(section.kind)}")


def _no_such_layer(kind: str) -> str:
    if kind in ("net", "network"):
        return "a second network; expected one in a file, whose layers follow"
    meant = next((one for one in LAYERS if one.lower() == kind.lower()), None)
    if meant:
        return f"no such layer type in Darknet; names are case-sensitive in Darknet: write [{meant}]"
    return (
        f"no such layer type in Darknet{strange(kind)}{did_you_mean(kind, LAYERS)}; expected one of {', '.join(LAYERS)}"
    )


def name_pjreddies(sections: Sequence[Section]) -> None:
    """Warn where a layer is another in AlexeyAB's Darknet than here, once for each kind."""
    for kind in _PJREDDIES:
        first = next((section for section in sections if section.kind == kind), None)
        if first is not None:
            first.warnings.append(
                f"{first.where}: computed as pjreddie's Darknet does; it is not supported by AlexeyAB's, which would "
                "go on with zeros"
            )
