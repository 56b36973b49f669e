"""The module that darknet_images.py, darknet_video.py and many applications import as ``darknet``.

AlexeyAB's darknet.py (and, where they differ in names alone, hank-ai's and the older ones) without its C library: the
same names, units, order and text. Either ``from darknet_py import darknet`` in place of ``import darknet``, or the
script unchanged::

    python -m darknet_py.darknet darknet_images.py --input dog.jpg --weights yolov4.weights ...

An IMAGE, a METADATA and what `get_network_boxes` gives are real ctypes structures, so that scripts which look inside
them work; memory goes when nobody holds them any more, whether or not it is freed by hand.
"""

from __future__ import annotations

# Older versions said `from ctypes import *`: scripts use darknet.POINTER, darknet.c_int, darknet.pointer...
from ctypes import (
    POINTER,
    Structure,
    byref,
    c_char_p,
    c_float,
    c_int,
    c_void_p,
    cast,
    pointer,
)
from types import SimpleNamespace
from typing import Any

from darknet_py.darknet.boxes import (
    do_nms_obj,
    do_nms_sort,
    free_batch_detections,
    free_detections,
    get_network_boxes,
    make_network_boxes,
    network_predict_batch,
    remove_negatives,
    remove_negatives_faster,
)
from darknet_py.darknet.detecting import classify, decode_detection, detect, detect_image
from darknet_py.darknet.drawing import (
    bbox2points,
    class_colors,
    draw_boxes,
    non_max_suppression_fast,
    print_detections,
)
from darknet_py.darknet.images import (
    array_to_image,
    copy_image_from_bytes,
    free_image,
    letterbox_image,
    load_image,
    make_image,
    nparray_to_image,
    rgbgr_image,
)
from darknet_py.darknet.library import (
    free_ptrs,
    init_cpu,
    reset_rnn,
    set_gpu,
    set_output_stream,
    set_verbose,
    show_version_info,
    version_short,
    version_string,
)
from darknet_py.darknet.networks import (
    add_skipped_class,
    clear_skipped_classes,
    del_skipped_class,
    free_network_ptr,
    load_meta,
    load_net,
    load_net_custom,
    load_network,
    network_dimensions,
    network_height,
    network_predict,
    network_width,
    predict_image,
    predict_image_letterbox,
)
from darknet_py.darknet.older import performDetect
from darknet_py.darknet.structures import BOX, DETECTION, DETNUMPAIR, IMAGE, METADATA, c_array

__all__ = [
    "BOX",
    "DETECTION",
    "DETNUMPAIR",
    "IMAGE",
    "METADATA",
    "POINTER",
    "Structure",
    "add_skipped_class",
    "altNames",
    "array_to_image",
    "bbox2points",
    "byref",
    "c_array",
    "c_char_p",
    "c_float",
    "c_int",
    "c_void_p",
    "cast",
    "class_colors",
    "classify",
    "clear_skipped_classes",
    "copy_image_from_bytes",
    "decode_detection",
    "del_skipped_class",
    "detect",
    "detect_image",
    "do_nms_obj",
    "do_nms_sort",
    "draw_boxes",
    "free_batch_detections",
    "free_detections",
    "free_image",
    "free_network_ptr",
    "free_ptrs",
    "get_network_boxes",
    "hasGPU",
    "init_cpu",
    "letterbox_image",
    "lib",
    "load_image",
    "load_meta",
    "load_net",
    "load_net_custom",
    "load_network",
    "make_image",
    "make_network_boxes",
    "metaMain",
    "netMain",
    "network_dimensions",
    "network_height",
    "network_predict",
    "network_predict_batch",
    "network_width",
    "non_max_suppression_fast",
    "nparray_to_image",
    "performDetect",
    "pointer",
    "predict",
    "predict_image",
    "predict_image_letterbox",
    "print_detections",
    "remove_negatives",
    "remove_negatives_faster",
    "reset_rnn",
    "rgbgr_image",
    "set_gpu",
    "set_output_stream",
    "set_verbose",
    "show_version_info",
    "version_short",
    "version_string",
]

predict = network_predict

#: What `performDetect` loaded.
netMain: Any = None
metaMain: Any = None
altNames: Any = None

hasGPU = False

#: The functions under the names that C has for them: scripts call ``darknet.lib.network_width`` and its like.
lib = SimpleNamespace(
    copy_image_from_bytes=copy_image_from_bytes,
    cuda_set_device=set_gpu,
    darknet_add_skipped_class=add_skipped_class,
    darknet_clear_skipped_classes=clear_skipped_classes,
    darknet_del_skipped_class=del_skipped_class,
    darknet_set_output_stream=set_output_stream,
    darknet_set_verbose=set_verbose,
    darknet_show_version_info=show_version_info,
    darknet_version_short=version_short,
    darknet_version_string=version_string,
    do_nms_obj=do_nms_obj,
    do_nms_sort=do_nms_sort,
    free_batch_detections=free_batch_detections,
    free_detections=free_detections,
    free_image=free_image,
    free_network_ptr=free_network_ptr,
    free_ptrs=free_ptrs,
    get_metadata=load_meta,
    get_network_boxes=get_network_boxes,
    init_cpu=init_cpu,
    letterbox_image=letterbox_image,
    load_image_color=load_image,
    load_image_v2=load_image,
    load_network=load_net,
    load_network_custom=load_net_custom,
    make_image=make_image,
    make_network_boxes=make_network_boxes,
    network_height=network_height,
    network_predict_batch=network_predict_batch,
    network_predict_image=predict_image,
    network_predict_image_letterbox=predict_image_letterbox,
    network_predict_ptr=network_predict,
    network_width=network_width,
    reset_rnn=reset_rnn,
    rgbgr_image=rgbgr_image,
)
