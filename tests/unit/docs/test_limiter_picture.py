"""The picture of the concurrency limiter in the docs."""

import pytest

from tools.docs_pictures.limiter import SVG_FILE, render_svg

pytestmark = pytest.mark.slow


def test_picture_is_up_to_date() -> None:
    """docs/pictures/limiter.svg matches the simulation; `python -m tools.docs_pictures.limiter` updates it."""
    assert SVG_FILE.read_text(encoding="utf-8") == render_svg()
