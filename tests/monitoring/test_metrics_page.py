"""docs/reference/metrics.md is generated from a live scrape: `python -m tools.docs_metrics.page`."""

from tools.docs_metrics import live_scrape
from tools.docs_metrics.descriptions import DESCRIPTIONS, OPEN_LABELS
from tools.docs_metrics.page import PAGE, render_page


def test_page_is_up_to_date(scrape: str) -> None:
    """The page shows what running servers expose; otherwise run `make rules`."""
    assert PAGE.read_text(encoding="utf-8") == render_page(scrape)


def test_every_metric_is_described(scrape: str) -> None:
    """descriptions.py describes exactly the metrics that are exposed."""
    assert set(live_scrape.metric_families(scrape)) == set(DESCRIPTIONS)


def test_every_label_is_bounded(scrape: str) -> None:
    """A label has all its values from the start, or descriptions.py says what limits them."""
    families = live_scrape.metric_families(scrape).values()
    closed = live_scrape.label_values(families).keys() - OPEN_LABELS.keys()
    assert closed == {"outcome", "reason", "result", "role", "state", "token"}
    assert OPEN_LABELS.keys() <= live_scrape.label_values(families).keys()
