"""A held-out test set of symbols, made by other means than the training scenes.

Symbols come from zxing-cpp and OpenCV's dictionaries, letters from matplotlib's fonts, textures from spectra, cells
and reaction–diffusion, and pictures from rays cast through a distorting lens onto planes and cylinders.
"""

from training.heldout.large import large_scene
from training.heldout.scene import Scene, make_scene

__all__ = ["Scene", "large_scene", "make_scene"]
