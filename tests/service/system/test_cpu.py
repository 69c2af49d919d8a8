"""CPUs and their instructions, from files in the kernel's format."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from service.system.cpu import CPUINFO, cpu_limit, cpu_model, has_bfloat16, limit_blas_threads

AVAILABLE = (
    len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
)


def version_2(cgroup: Path, text: str) -> None:
    (cgroup / "cpu.max").write_text(text)


def version_1(cgroup: Path, quota: str, period: str) -> None:
    (cgroup / "cpu").mkdir()
    (cgroup / "cpu/cpu.cfs_quota_us").write_text(quota)
    (cgroup / "cpu/cpu.cfs_period_us").write_text(period)


def test_without_a_quota_every_cpu_counts(tmp_path: Path) -> None:
    assert cpu_limit(tmp_path) == AVAILABLE
    assert cpu_limit(tmp_path / "missing") == AVAILABLE


def test_a_process_with_cpu_affinity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with taskset; 0 is this process. Other systems than Linux have no affinity."""
    held = {0: {1, 3, 5}, 1: set(range(64))}
    monkeypatch.setattr(os, "sched_getaffinity", held.__getitem__, raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    assert cpu_limit(tmp_path) == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    assert cpu_limit(tmp_path) == 64
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cpu_limit(tmp_path) == 1


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("max 100000\n", AVAILABLE),
        ("100000 100000\n", 1),
        ("50000 100000\n", 1),
        ("1000 100000\n", 1),
        ("0 100000\n", 1),
        ("150000 100000\n", min(2, AVAILABLE)),
        ("200000 100000\n", min(2, AVAILABLE)),
        ("20000 10000\n", min(2, AVAILABLE)),
        ("9999900000 100000\n", AVAILABLE),
    ],
)
def test_a_quota_of_cgroup_version_2(tmp_path: Path, text: str, limit: int) -> None:
    version_2(tmp_path, text)
    assert cpu_limit(tmp_path) == limit


@pytest.mark.parametrize(
    ("quota", "limit"),
    [("-1\n", AVAILABLE), ("100000\n", 1), ("10000\n", 1), ("110000\n", min(2, AVAILABLE))],
)
def test_a_quota_of_cgroup_version_1(tmp_path: Path, quota: str, limit: int) -> None:
    version_1(tmp_path, quota, "100000\n")
    assert cpu_limit(tmp_path) == limit


def test_version_2_takes_precedence(tmp_path: Path) -> None:
    version_2(tmp_path, "100000 100000\n")
    version_1(tmp_path, "-1\n", "100000\n")
    assert cpu_limit(tmp_path) == 1


def test_a_file_in_no_known_format_is_no_quota(tmp_path: Path) -> None:
    version_2(tmp_path, "unlimited\n")
    assert cpu_limit(tmp_path) == AVAILABLE


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu avx2 avx512f avx512_bf16 sha_ni", True),
        ("fpu avx2 amx_bf16 amx_tile", True),
        ("fpu avx2 avx512f avx512_vnni", False),
        ("fpu not_avx512_bf16_at_all", False),
        ("", False),
    ],
)
def test_bfloat16(tmp_path: Path, flags: str, expected: bool) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"CPU\t: 0\nflags\t\t: {flags}\nbugs\t\t:\n")
    assert has_bfloat16(cpuinfo) is expected


def test_without_the_file_there_is_no_bfloat16(tmp_path: Path) -> None:
    assert has_bfloat16(tmp_path / "missing") is False


def test_cpu_models_differ(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("CPU\t: 0\nmodel name\t: EPYC\ncpu MHz\t\t: 2450.0\n\nprocessor\t: 1\n")
    before = cpu_model(cpuinfo)
    # Values that change at run time are not part of it.
    cpuinfo.write_text(cpuinfo.read_text().replace("2450", "3500"))
    assert cpu_model(cpuinfo) == before
    cpuinfo.write_text(cpuinfo.read_text().replace("EPYC", "Xeon"))
    assert cpu_model(cpuinfo) != before
    assert cpu_model(tmp_path / "missing") in before


@pytest.mark.skipif(not CPUINFO.exists(), reason="this system has no /proc/cpuinfo")
def test_this_machines_own_file() -> None:
    assert has_bfloat16() is ("bf16" in CPUINFO.read_text())


def test_blas_has_one_thread() -> None:
    with threadpool_limits(2, user_api="blas"):
        limit_blas_threads()
        libraries = [one for one in threadpool_info() if one["user_api"] == "blas"]
    assert {library["num_threads"] for library in libraries} == {1}
