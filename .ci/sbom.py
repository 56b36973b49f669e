"""A CycloneDX 1.5 list of what a wheel is made of and needs: ``python .ci/sbom.py WHEEL > sbom.json``.

Versions, licences and hashes of records are those of the packages installed beside the Python that runs this.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import uuid
import zipfile
from datetime import datetime, timezone
from email.parser import Parser
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any


def requirements(lines: list[str] | None) -> list[str]:
    """Names of what is needed without any extra."""
    found = []
    for line in lines or []:
        name, _, marker = line.partition(";")
        if "extra" not in marker:
            found.append(re.split(r"[^A-Za-z0-9._-]", name.strip(), maxsplit=1)[0])
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def collect(names: list[str]) -> dict[str, Distribution]:
    """The packages of these names and all that they need, as installed."""
    found: dict[str, Distribution] = {}
    while names:
        name = normal(names.pop())
        if name not in found:
            try:
                found[name] = distribution(name)
            except ModuleNotFoundError:
                if name == "opencv-python":
                    names.append("opencv-python-headless")
                continue
            names += requirements(found[name].requires)
    return dict(sorted(found.items()))


def component(name: str, package: Distribution) -> dict[str, Any]:
    licence = package.metadata.get("License-Expression") or package.metadata.get("License") or "see its metadata"
    record = package.read_text("RECORD") or ""
    return {
        "type": "library", "bom-ref": purl(name, package.version), "name": name, "version": package.version,
        "purl": purl(name, package.version), "licenses": [{"license": {"name": licence.splitlines()[0][:80]}}],
        "properties": [{"name": "RECORD:sha256", "value": hashlib.sha256(record.encode()).hexdigest()}],
    }  # fmt: skip


def purl(name: str, version: str) -> str:
    return f"pkg:pypi/{name}@{version}"


def describe(wheel: Path) -> dict[str, Any]:
    with zipfile.ZipFile(wheel) as archive:
        (place,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(place).decode())
    name, version = normal(metadata["Name"]), metadata["Version"]
    direct = requirements(metadata.get_all("Requires-Dist"))
    needed = collect(list(direct))
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    when = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), timezone.utc)
    edges = {name: direct} | {one: requirements(package.requires) for one, package in needed.items()}
    refs = {one: purl(one, package.version) for one, package in needed.items()} | {name: purl(name, version)}
    return {
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, digest)}",
        "metadata": {
            "timestamp": when.isoformat().replace("+00:00", "Z"),
            "component": {
                "type": "library", "bom-ref": refs[name], "name": name, "version": version, "purl": refs[name],
                "licenses": [{"license": {"id": metadata.get("License-Expression") or metadata.get("License")}}],
                "hashes": [{"alg": "SHA-256", "content": digest}],
            },
        },
        "components": [component(one, package) for one, package in needed.items()],
        "dependencies": [
            {"ref": refs[one], "dependsOn": sorted(refs[normal(n)] for n in others if normal(n) in refs)}
            for one, others in edges.items()
        ],
    }  # fmt: skip


if __name__ == "__main__":
    json.dump(describe(Path(sys.argv[1])), sys.stdout, indent=1)
