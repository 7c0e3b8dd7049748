"""The CPUs that a container may use."""

import os
from pathlib import Path

import pytest

from askd.answerers.worker_processes import cpus


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "250000 100000\n"}, 2),
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu.max": "6400000 100000\n"}, 8),
        ({"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}, 8),
        ({"cpu.cfs_quota_us": "300000\n", "cpu.cfs_period_us": "100000\n"}, 3),
    ],
)
def test_available_cpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: int) -> None:
    """The quota of the cgroup, of version 2 or 1, limits the CPUs; a part of a CPU only counts alone."""
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(cpus, "_CGROUP_V2", tmp_path / "cpu.max")
    monkeypatch.setattr(cpus, "_CGROUP_V1", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(8)))
    assert cpus.available_cpus() == expected
