"""Kernels behind the heads: maps to boxes, suppression of boxes."""
