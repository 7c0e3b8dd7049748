"""docs/metrics.md is made from a live scrape. To write it anew: `python -m tests.metrics.page`."""

from tests.metrics import live
from tests.metrics.meanings import MEANINGS, OPEN_LABELS
from tests.metrics.page import PAGE, page


def test_the_page_is_up_to_date(scrape: str) -> None:
    """docs/metrics.md is what running servers expose; else run `python -m tests.metrics.page`."""
    assert PAGE.read_text(encoding="utf-8") == page(scrape)


def test_every_metric_has_a_meaning(scrape: str) -> None:
    """What is exposed has its unit and its question in meanings.py, and what stands there is exposed."""
    assert set(live.families(scrape)) == set(MEANINGS)


def test_every_label_is_bounded(scrape: str) -> None:
    """A label either has all of its values in a scrape from the start, or meanings.py says what bounds it."""
    found = live.families(scrape)
    closed = live.labels(found.values()).keys() - OPEN_LABELS.keys()
    assert closed == {"outcome", "reason", "result", "state", "token"}
    assert OPEN_LABELS.keys() <= live.labels(found.values()).keys()
