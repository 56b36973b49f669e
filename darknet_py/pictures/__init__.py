"""Pictures to blobs: every source and kind of file, resized as Darknet, darknet.py or OpenCV does it."""
