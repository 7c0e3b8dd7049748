"""The limit of file descriptors."""

import resource

import pytest

from askd.httpserver.descriptors import bounded_by_descriptors, raise_descriptor_limit


@pytest.mark.parametrize(("soft", "expected"), [(20_000, 1000), (1024, 896), (100, 1), (resource.RLIM_INFINITY, 1000)])
def test_connections_leave_file_descriptors(monkeypatch: pytest.MonkeyPatch, soft: int, expected: int) -> None:
    """The limit of open files bounds the connections, with a reserve for everything else."""
    monkeypatch.setattr(resource, "getrlimit", lambda _limit: (soft, soft))
    assert bounded_by_descriptors(1000) == expected


def test_limit_of_open_files_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    """The soft limit becomes the hard one."""
    limits = []
    monkeypatch.setattr(resource, "getrlimit", lambda _limit: (1024, 4096))
    monkeypatch.setattr(resource, "setrlimit", lambda _limit, pair: limits.append(pair))
    raise_descriptor_limit()
    assert limits == [(4096, 4096)]
