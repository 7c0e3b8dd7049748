"""Generated files of the chart are up to date; `make chart-files` generates them."""

import json

import pytest

from askd.config import Settings
from tools.chart import generate, values_file
from tools.chart.settings_block import DERIVED_SETTINGS, chart_fields, field_schema
from tools.chart.values_file import VALUES_FILE


@pytest.mark.parametrize("path", generate.generated_files(), ids=lambda path: path.name)
def test_generated_file_is_up_to_date(path: object) -> None:
    """Settings, schema, bounds, version and table match values.yaml and service/askd/config/."""
    assert path.read_text("utf-8") == generate.generated_files()[path], "run make chart-files"  # type: ignore[attr-defined, index]  # a Path


def test_plain_manifests_are_up_to_date() -> None:
    """k8s/plain/askd.yaml is the default rendering of the chart."""
    assert generate.PLAIN_MANIFESTS.read_text("utf-8") == generate.plain_manifests(), "run make chart-files"


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


def test_missing_values_have_defaults_except_nullable_ones() -> None:
    """The generated defaults contain each value that null does not give another meaning."""
    template = generate.defaults_template(
        '# -- A.\na: 0\n# @schema\n# {type: [string, "null"]}\n# @schema\n# -- B.\nb: x\nc:\n  # -- D.\n  d: [1]\n'
    )
    assert '"a": [0],\n  "c": {"d": [[1]]}\n' in template


def test_nothing_is_required() -> None:
    """The schema requires no value, because `helm upgrade --reuse-values` lacks those that a newer chart adds."""
    schema = json.loads((values_file.CHART_FOLDER / "values.schema.json").read_text("utf-8"))
    assert "required" not in schema
    assert not any("required" in child for child in schema["properties"].values())


def test_every_setting_is_a_value_or_derived() -> None:
    """A setting is either a value under `settings` or derived from another value."""
    assert DERIVED_SETTINGS.keys().isdisjoint(field.name for field in chart_fields())


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("deadline", {"type": ["string", "number", "null"], "minimum": 0.001, "maximum": 3600.0}),
        ("cache_ttl", {"type": ["string", "number", "null"], "minimum": 0.001}),
        ("body_max_size", {"type": ["integer", "string"], "minimum": 1 << 10, "maximum": 64 << 20}),
        ("concurrency", {"type": ["integer", "string"], "pattern": "^auto$", "minimum": 1, "maximum": 100_000}),
        ("log_level", {"type": "string", "enum": ["debug", "info", "warning", "error"]}),
    ],
)
def test_schema_has_the_bounds_of_the_setting(name: str, schema: dict[str, object]) -> None:
    """Bounds and choices in the schema are those of the setting's reader."""
    actual = field_schema(Settings.__dataclass_fields__[name])
    assert {key: actual.get(key) for key in schema} == schema, json.dumps(actual)
    assert ("maximum" in actual) == ("maximum" in schema)
