"""Maps of heads to boxes: decoding, NMS and selection as Darknet's, and `Detections`, which users see."""
