"""The parser of values.yaml: values, their comments and schemas."""

import pytest

from tools.chart import values_file
from tools.chart.values_file import VALUES_FILE


def test_every_value_has_a_comment() -> None:
    """A value without a comment is an error, and every comment is a sentence."""
    with pytest.raises(ValueError, match=r"a\.b has no comment"):
        values_file.parse_values("# A.\na:\n  b: 1\n")
    assert all(
        value.help.endswith((".", ":", "…"))
        for value in values_file.leaf_values(values_file.parse_values(VALUES_FILE.read_text("utf-8")))
    )


def test_comment_is_split_into_help_and_schema() -> None:
    """Lines between two @schema add to the schema, the others are the help; a blank line ends a comment."""
    (value,) = values_file.parse_values(
        "# Ignored.\n\n# @schema\n# {minimum: 1}\n# @schema\n# -- Words,\n# more.\nport: 80\n"
    )
    assert (value.help, value.schema, value.default) == ("Words, more.", {"minimum": 1}, 80)
