"""What is made from the values is up to date, and says everything; else run `make chart-files`."""

import pytest

from tests.chart import generate, manual
from tests.chart.generated_settings import DERIVED, fields
from tests.chart.manual import VALUES


@pytest.mark.parametrize("path", generate.files(), ids=lambda path: path.name)
def test_the_file_is_up_to_date(path: object) -> None:
    """Settings, schema, bounds, versions and the table are what values.yaml and service/settings/ say."""
    assert path.read_text("utf-8") == generate.files()[path], "run make chart-files"  # type: ignore[attr-defined, index]  # a Path


def test_the_plain_manifests_are_up_to_date() -> None:
    """k8s/plain is what the chart renders."""
    assert generate.PLAIN.read_text("utf-8") == generate.plain(), "run make chart-files"


def test_every_value_has_a_comment() -> None:
    """A value without a word on what it is stops the making of the schema."""
    with pytest.raises(ValueError, match=r"a\.b has no comment"):
        manual.read("# A.\na:\n  b: 1\n")
    assert all(value.help.endswith((".", ":", "…")) for value in manual.leaves(manual.read(VALUES.read_text("utf-8"))))


def test_directives_and_words_are_told_apart() -> None:
    """A line that begins with @ is the schema's, the others are the reader's; a blank line ends a comment."""
    (value,) = manual.read("# Lost.\n\n# Words,\n# more.\n# @ {minimum: 1}\nport: 80\n")
    assert (value.help, value.schema, value.default) == ("Words, more.", {"minimum": 1}, 80)


def test_no_setting_is_forgotten() -> None:
    """A setting is either a value of its own or derived."""
    assert DERIVED.keys().isdisjoint(field.name for field in fields())
