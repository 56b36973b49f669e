"""Distortions of training pictures: YOLOv4's bag of freebies for data (arXiv 2004.10934, sections 2.2 and 3.3).

::

    geometric     one matrix and one sampling: jitter, resize, flip, angle, perspective
    photometric   hue, saturation, exposure, contrast, grey, noise, blur
    mosaic        four pictures in one
    cutmix        a rectangle of another picture
    pipeline      which of these befall which picture, and batches made ahead
"""

from training.augment.geometric import plain
from training.augment.pipeline import AugmentOptions, Pipeline, Samples, to_batch

__all__ = ["AugmentOptions", "Pipeline", "Samples", "plain", "to_batch"]
