"""The contract only grows: what the last release promised still holds."""

from service import __version__

from . import breaks, surface


async def test_nothing_that_was_released_is_gone() -> None:
    """Every path, parameter, field, setting and metric of the last release is still there and takes as much."""
    assert breaks.find(surface.released(), await surface.current(), is_setting=surface.is_setting) == []


def test_the_record_is_of_this_release_or_an_earlier_one() -> None:
    """What is recorded as released is not newer than the package; `make contract` belongs to a release."""
    recorded, here = (
        tuple(int(part) for part in version.split(".")[:2]) for version in (surface.released()["version"], __version__)
    )
    assert recorded <= here


def test_the_record_holds_what_people_build_on() -> None:
    """The record is no empty promise: it knows /ask, the port's variable and the counter of requests."""
    found = surface.released()
    assert {"get", "post"} <= found["openapi"]["paths"]["/ask"].keys()
    assert "ASKD_PORT" in found["settings"]
    assert found["metrics"]["askd_requests_total"]["labels"] == ["code", "method", "route"]


def test_metrics_are_read_by_the_name_that_a_query_uses() -> None:
    """A counter ends in _total, creation times and other people's metrics are left out, `le` is no label of ours."""
    scrape = """# HELP askd_requests_total Exchanges ended.
# TYPE askd_requests_total counter
askd_requests_total{route="/ask",code="200"} 1.0
# TYPE askd_requests_created gauge
askd_requests_created{route="/ask",code="200"} 1.7e9
# HELP askd_wait_seconds Deprecated: askd_lag_seconds.
# TYPE askd_wait_seconds histogram
askd_wait_seconds_bucket{le="+Inf"} 0.0
askd_wait_seconds_count 0.0
askd_wait_seconds_sum 0.0
# TYPE mine_total counter
mine_total 1.0
"""
    found = surface.metrics(scrape)
    assert found == {
        "askd_requests_total": {"type": "counter", "labels": ["code", "route"], "deprecated": False},
        "askd_wait_seconds": {"type": "histogram", "labels": [], "deprecated": True},
    }
    assert surface.to_release({"metrics": found})["metrics"].keys() == {"askd_requests_total"}


def test_a_variable_that_nobody_reads_is_no_setting() -> None:
    """A setting counts as kept only while the program knows its variable."""
    assert surface.is_setting("ASKD_PORT")
    assert not surface.is_setting("ASKD_NO_SUCH_THING")
