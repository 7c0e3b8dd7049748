"""docs/how-to/build-an-image.md agrees with the code."""

import re
from pathlib import Path

import pytest

from askd.config import Settings
from tests.support.fakes import UppercaseAnswerer

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "build-an-image.md"
DOCKERFILE = PAGE.parents[2] / "Dockerfile"


@pytest.mark.parametrize(("kind", "words"), [("book", "{:g}s for a book"), ("function", r"\*\*{:g}s for code\*\*")])
def test_the_time_that_a_stop_may_take(kind: str, words: str) -> None:
    """The sum of the drain's bounds is what the settings' defaults say, and what the page tells to give is more."""
    settings = Settings()
    answerer = UppercaseAnswerer()
    answerer.kind = kind
    drain = settings.effective_drain_timeout(answerer.kind)
    longest = settings.drain_delay + drain + settings.shutdown_timeout + settings.flush_timeout
    text = PAGE.read_text(encoding="utf-8")
    assert re.search(words.format(longest), text)
    assert all(
        int(given) >= longest for given in re.findall(r"(?:stop-timeout|stop -t|stop_grace_period:) (\d+)", text)
    )


def test_every_target_is_told() -> None:
    """The page names each target that the Dockerfile has for people, and no other."""
    targets = set(re.findall(r"^\| `[\w:]+` \| `(\w+)`", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    made = set(re.findall(r"^FROM .* AS (\w+)$", DOCKERFILE.read_text(encoding="utf-8"), re.MULTILINE))
    assert targets == {"runtime", "pip", "dev"}
    assert targets < made


def test_its_variables_are_settings() -> None:
    """Every ASKD_ variable that the image sets or reads is a setting."""
    named = set(re.findall(r"ASKD_([A-Z_]+)\b", DOCKERFILE.read_text(encoding="utf-8")))
    assert {"HOST", "OPS_PORT", "PORT", "RELOAD"} == named
    assert {name.lower() for name in named} <= set(vars(Settings()))
