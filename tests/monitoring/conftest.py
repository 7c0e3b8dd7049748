"""Shares one live scrape between all tests of metrics."""

import pytest

from tools.docs_metrics import live_scrape


@pytest.fixture(scope="session")
def scrape() -> str:
    """Return the metrics of real processes that have all features enabled."""
    return live_scrape.scrape_blocking()
