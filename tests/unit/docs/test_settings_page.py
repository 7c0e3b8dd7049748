"""docs/reference/settings.md is generated from the settings."""

import dataclasses

from askd.config import Settings
from tools.docs_settings.page import PAGE, render_page


def test_page_is_up_to_date() -> None:
    """The page matches the settings. If not, run `python -m tools.docs_settings.page`."""
    assert PAGE.read_text(encoding="utf-8") == render_page()


def test_page_has_every_setting() -> None:
    """Each setting has a heading with its variable, which links can point to."""
    assert render_page().count("\n### `ASKD_") == len(dataclasses.fields(Settings))
