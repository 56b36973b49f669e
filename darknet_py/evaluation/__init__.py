"""How good a detector is on labelled pictures: the measures of Darknet and of COCO, and what they are taken from."""
