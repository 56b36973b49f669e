"""The limits that fuzzing sets: low, so that what is beyond one shows, and nothing legitimate takes long."""

__all__ = ["LIMITS"]

LIMITS = {
    "DARKNET_PY_MAX_LAYERS": "300",
    "DARKNET_PY_MAX_PARAMETERS": str(1 << 22),
    "DARKNET_PY_MAX_ACTIVATION_BYTES": str(1 << 24),
    "DARKNET_PY_MAX_PIXELS": str(1 << 20),
    "DARKNET_PY_OFFLINE": "1",
}
