"""Training scenes: real machine-readable codes, printed on procedural surfaces and seen by a procedural camera."""
