"""What a measurement was made on."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from darknet_py.kernels.jit import LANES
from darknet_py.kernels.target import cpu_name
from darknet_py.threads import physical_cores

__all__ = ["describe_machine"]

_FLAGS = ("avx", "avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8", "asimd", "bf16", "sve")
_PACKAGES = ("numpy", "numba", "llvmlite", "opencv-python", "onnx", "onnxruntime", "openvino", "ncnn", "pnnx", "torch")


def describe_machine() -> dict[str, Any]:
    """CPU, memory, system and versions as plain values; what cannot be found out is None."""
    info = _read("/proc/cpuinfo") or ""
    flags = set((_field(info, "flags") or _field(info, "Features") or "").split())
    return {
        "cpu": _cpu_name(info),
        "architecture": platform.machine(),
        "physical_cores": physical_cores(),
        "logical_cores": os.cpu_count(),
        "instructions": [flag for flag in _FLAGS if flag in flags],
        "float32_lanes": LANES,
        "memory_gb": _memory_gb(),
        "governor": (_read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or "").strip() or None,
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "commit": _commit(),
        "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d"),
    }


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text()
    except OSError:
        return None


def _field(text: str, name: str) -> str | None:
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None


def _cpu_name(info: str) -> str | None:
    if sys.platform == "darwin":
        return _output("sysctl", "-n", "machdep.cpu.brand_string")
    name, family = _field(info, "model name"), _field(info, "cpu family")
    if name is None:
        return cpu_name()
    # Cloud machines hide the model; family and number still tell the generation.
    return f"{name} (family {family}, model {_field(info, 'model')})" if family else name


def _memory_gb() -> int | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    except (AttributeError, ValueError, OSError):
        return None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    return _output("git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD")


def _output(*command: str) -> str | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
