"""Backward compatibility with the last release."""

from askd import __version__
from tools.contract import breaking_changes, public_surface


async def test_no_breaking_changes() -> None:
    """Every path, parameter, field, setting and metric of the last release still exists and accepts the same values."""
    assert (
        breaking_changes.find_breaking_changes(
            public_surface.released_surface(),
            await public_surface.current_surface(),
            is_setting=public_surface.is_setting,
        )
        == []
    )


def test_record_is_not_newer_than_the_package() -> None:
    """The recorded version is not newer than the package: `make contract` is part of a release."""
    recorded, current = (
        tuple(int(part) for part in version.split(".")[:2])
        for version in (public_surface.released_surface()["version"], __version__)
    )
    assert recorded <= current


def test_record_is_complete() -> None:
    """The record contains /ask, the variable of the port and the metric of requests."""
    surface = public_surface.released_surface()
    assert {"get", "post"} <= surface["openapi"]["paths"]["/ask"].keys()
    assert "ASKD_PORT" in surface["settings"]
    assert surface["metrics"]["http_server_request_duration_seconds"]["type"] == "histogram"


def test_metrics_are_parsed_by_query_name() -> None:
    """A counter ends in _total; creation times, metrics of other libraries and the label `le` are left out."""
    scrape = """# HELP askd_shed_total Rejected requests.
# TYPE askd_shed_total counter
askd_shed_total{reason="queue_full"} 1.0
# TYPE askd_shed_created gauge
askd_shed_created{reason="queue_full"} 1.7e9
# HELP askd_wait_seconds Deprecated: askd_lag_seconds.
# TYPE askd_wait_seconds histogram
askd_wait_seconds_bucket{le="+Inf"} 0.0
askd_wait_seconds_count 0.0
askd_wait_seconds_sum 0.0
# TYPE mine_total counter
mine_total 1.0
"""
    metrics = public_surface.parse_metrics(scrape)
    assert metrics == {
        "askd_shed_total": {"type": "counter", "labels": ["reason"], "deprecated": False},
        "askd_wait_seconds": {"type": "histogram", "labels": [], "deprecated": True},
    }
    assert public_surface.without_deprecated({"metrics": metrics})["metrics"].keys() == {"askd_shed_total"}


def test_unknown_variable_is_not_a_setting() -> None:
    """A setting counts as present only if its variable has an effect."""
    assert public_surface.is_setting("ASKD_PORT")
    assert not public_surface.is_setting("ASKD_NO_SUCH_THING")
