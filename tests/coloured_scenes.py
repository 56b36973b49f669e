"""Pictures in which every object has the colour of its class, so that pixels tell whether a box is right."""

import numpy as np

from training.sample import Sample

#: BGR of each class in coloured scenes, far apart from each other, from black and from the border's grey.
PALETTE = np.array([(255, 0, 0), (0, 255, 0), (0, 0, 255), (0, 255, 255)], np.uint8)


def scene(rng, width, height, count):
    """Boxes in the colours of their classes on black, in separate columns."""
    image = np.zeros((height, width, 3), np.uint8)
    class_id = rng.integers(0, 4, count)
    xyxy = np.zeros((count, 4), np.float32)
    pitch = width // max(count, 1)
    for i, label in enumerate(class_id):
        left, top = i * pitch + int(rng.integers(2, pitch // 4)), int(rng.integers(0, height // 2))
        right, bottom = left + int(rng.integers(pitch // 2, pitch * 3 // 4)), top + int(rng.integers(15, height // 2))
        image[top:bottom, left:right] = PALETTE[label]
        xyxy[i] = left, top, right, bottom
    return Sample(image, class_id, xyxy)


def freeze(sample):
    for array in sample:
        array.flags.writeable = False
    return sample


class Scenes:
    """Pictures by number, in memory."""

    def __init__(self, samples):
        self.samples = [freeze(sample) for sample in samples]

    def __len__(self):
        return len(self.samples)

    def sample(self, index):
        return self.samples[index]


def check_colours(sample, border=2):
    """Every box holds the colour of its class alone; which pixels the boxes cover, a border wider."""
    covered = np.zeros(sample.image.shape[:2], bool)
    for label, (left, top, right, bottom) in zip(sample.class_id, sample.xyxy, strict=True):
        inside = sample.image[
            round(top) + border : round(bottom) - border, round(left) + border : round(right) - border
        ]
        assert np.abs(inside.astype(int) - PALETTE[label]).max(initial=0) <= 2
        covered[
            max(0, int(top) - border) : int(bottom) + border + 1, max(0, int(left) - border) : int(right) + border + 1
        ] = True
    return covered
