"""What codes in pictures say: a detector finds them, zxing-cpp reads them, nothing uncertain is reported."""

from darknet_py.codes.code import Code
from darknet_py.codes.texts import need_reader, read_codes, read_found

__all__ = ["Code", "need_reader", "read_codes", "read_found"]
