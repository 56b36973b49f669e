"""A trainer for small Darknet cfgs in PyTorch, with the bag of freebies of YOLOv4 (arXiv 2004.10934)."""
