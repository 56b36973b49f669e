"""Compiled loops over boxes: plain functions of arrays, which know neither layers nor addresses."""
