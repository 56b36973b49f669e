"""Tiles: what of an operation is held in registers, as LLVM IR, and the arithmetic behind their layouts."""
