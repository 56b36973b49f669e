"""Detections paired with true boxes as COCO's evaluation does, at several overlaps at once."""

from __future__ import annotations

from darknet_py.kernels.jit import kernel

__all__ = ["match_boxes"]


@kernel
def match_boxes(overlaps, thresholds, ignored, crowd, taken, matched, matched_ignored):
    """Give each detection, in order, the best true box left.

    `overlaps` (n, m), float64, has the detections in falling confidence and the true boxes with those that are
    `ignored` (m) last; a `crowd` (m) may be taken by many. Written are, for each of the `thresholds` (t), whether a
    detection is `matched` (t, n) and whether to an ignored one; `taken` (m) is memory. All flags are uint8.
    """
    n, m = overlaps.shape
    for t in range(len(thresholds)):
        for g in range(m):
            taken[g] = 0
        for d in range(n):
            least, best = min(thresholds[t], 1 - 1e-10), -1
            for g in range(m):
                if taken[g] and not crowd[g]:
                    continue
                if best >= 0 and not ignored[best] and ignored[g]:
                    break
                if overlaps[d, g] < least:
                    continue
                least, best = overlaps[d, g], g
            matched[t, d] = best >= 0
            matched_ignored[t, d] = best >= 0 and ignored[best]
            if best >= 0:
                taken[best] = 1
