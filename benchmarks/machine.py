"""The machine and the versions that a run's figures depend on."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from benchmarks.results import Machine
from service.system.cpu import CPUINFO, cpu_limit

# Without AVX512-BF16 or AMX bfloat16 is emulated; without VNNI int8 takes more instructions.
FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
PACKAGES = ("openvino", "tensorflow", "ai-edge-litert", "numpy", "pillow", "fastapi", "uvicorn")
PEER_PACKAGES = ("litserve", "mosec", "openvino", "torch")


def this_machine(peer_python: Path | None) -> Machine:
    cpuinfo = _cpuinfo()
    flags = cpuinfo.get("flags", "").split()
    return Machine(
        cpu_model=_cpu_model(cpuinfo),
        cores=cpu_limit(),
        memory_bytes=psutil.virtual_memory().total,
        features=tuple(feature for feature in FEATURES if feature in flags),
        system=f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        load_average=os.getloadavg()[0],
        commit=_output("git", "describe", "--always", "--dirty"),
        versions={**_versions(), **_peer_versions(peer_python)},
    )


def _cpuinfo() -> dict[str, str]:
    try:
        lines = CPUINFO.read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in reversed(lines))
    return {name.strip(): value.strip() for name, _, value in pairs}


def _cpu_model(cpuinfo: dict[str, str]) -> str:
    name = cpuinfo.get("model name") or platform.processor() or platform.machine()
    # Virtual machines often hide the name, and the family tells the generation.
    family, model = cpuinfo.get("cpu family"), cpuinfo.get("model")
    return f"{name} (family {family}, model {model})" if family else name


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _peer_versions(python: Path | None) -> dict[str, str]:
    if python is None:
        return {}
    code = "import sys; from importlib.metadata import version as v; print(*map(v, sys.argv[1:]))"
    versions = _output(str(python), "-c", code, *PEER_PACKAGES).split()
    return {f"peers' {name}": found for name, found in zip(PEER_PACKAGES, versions, strict=False)}


def _output(*command: str) -> str:
    """The output of a command; empty where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
