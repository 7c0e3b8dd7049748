"""One live scrape for all tests of the metrics."""

import pytest

from tests.metrics import live


@pytest.fixture(scope="session")
def scrape() -> str:
    """Give what real processes with every feature on expose together."""
    return live.scraped()
