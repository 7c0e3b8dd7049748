"""Generated files of the chart are up to date; `make chart-files` generates them."""

import json
import shutil
import subprocess
from typing import Any

import pytest

from askd.config import Settings
from tools.chart import generate, values_file
from tools.chart.settings_block import DERIVED_SETTINGS, chart_fields, field_schema
from tools.chart.values_file import VALUES_FILE


@pytest.mark.parametrize("path", generate.generated_files(), ids=lambda path: path.name)
def test_generated_file_is_up_to_date(path: object) -> None:
    """Settings, schema, bounds and version match values.yaml and service/askd/config/."""
    assert path.read_text("utf-8") == generate.generated_files()[path], "run make chart-files"  # type: ignore[attr-defined, index]  # a Path


@pytest.mark.skipif(
    not shutil.which("helm-schema"), reason="helm-schema is not installed: make test-chart installs it if go can"
)
def test_helm_schema_makes_an_equal_schema() -> None:
    """A parent chart that makes its schema with helm-schema gets the rules of this one, from the comments."""
    command = ["helm-schema", "--chart-search-root", str(values_file.CHART_FOLDER), "--no-dependencies", "--dry-run"]
    command += ["--skip-auto-generation", "required,title,default", "--log-level", "warn"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    ours = json.loads((values_file.CHART_FOLDER / "values.schema.json").read_text("utf-8"))
    del ours["properties"]["enabled"]  # a name of parent charts, which is not in values.yaml
    assert _rules(json.loads(output)) == _rules(ours)


def _rules(schema: Any) -> Any:
    """Return a schema without descriptions, keywords that allow everything, and the names of other charts."""
    if isinstance(schema, list):
        return [_rules(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    rules = {key: _rules(value) for key, value in schema.items() if key not in {"$schema", "title", "description"}}
    for name in [name for name, rule in rules.get("properties", {}).items() if not rule]:
        del rules["properties"][name]
    allowing = {"additionalProperties": True, "required": [], "items": {}, "properties": {}}
    return {key: value for key, value in rules.items() if key not in allowing or value != allowing[key]}


def test_plain_manifests_are_up_to_date() -> None:
    """k8s/plain/askd.yaml is the default rendering of the chart."""
    assert generate.PLAIN_MANIFESTS.read_text("utf-8") == generate.plain_manifests(), "run make chart-files"


def test_readme_describes_every_value() -> None:
    """The table in README.md, which helm-docs writes, has each value with its comment."""
    readme = (values_file.CHART_FOLDER / "README.md").read_text("utf-8")
    for value in values_file.leaf_values(values_file.parse_values(VALUES_FILE.read_text("utf-8"))):
        row = next((line for line in readme.splitlines() if line.startswith(f"| `{value.name}` |")), "missing")
        assert row.endswith(f" | {value.help.replace('|', chr(92) + '|')} |"), "run make chart-files"


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
