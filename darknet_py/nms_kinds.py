"""What ``nms_kind=`` may say in a cfg, and what each makes NMS compare with the threshold: told here alone."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["DEFAULT_BETA", "DEFAULT_KIND", "NMS_KINDS", "NmsKind"]


class NmsKind(NamedTuple):
    """One way of comparing two boxes: their IoU or, with `distance`, ``IoU - (d2 / c2) ** exponent``.

    d2 is the square of the distance between their centres, c2 that of the diagonal of the smallest box around both.

    Attributes
    ----------
    distance : bool
    fixed_exponent : float or None
        None: the exponent is ``beta_nms``.
    gaussian : bool
        Only [Gaussian_yolo] knows the word; another head takes the default.
    """

    distance: bool = False
    fixed_exponent: float | None = None
    gaussian: bool = False

    def meaning(self, beta: float) -> str:
        """In words."""
        if not self.distance:
            return "plain IoU"
        if self.fixed_exponent is None:
            return f"DIoU with exponent {beta:g} (beta_nms)"
        return f"DIoU with exponent {self.fixed_exponent:g} (beta_nms is not used)"


#: Darknet's, by the cfg's word. Its greedynms is not plain IoU: the exponent is 0.6 whatever ``beta_nms`` says.
NMS_KINDS: dict[str, NmsKind] = {
    "default": NmsKind(),
    "greedynms": NmsKind(distance=True, fixed_exponent=0.6),
    "diounms": NmsKind(distance=True),
    "cornersnms": NmsKind(gaussian=True),
}

DEFAULT_KIND, DEFAULT_BETA = "default", 0.6
