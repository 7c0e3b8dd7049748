"""Generates the chart's files from chart/values.yaml and service/askd/config/: `make chart-files`.

It also writes the version into all files that name it.
"""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import yaml

from askd import __version__
from tools.chart import settings_block, values_file
from tools.chart.values_file import CHART_FOLDER, VALUES_FILE, Value

OTHER_NAMES: Final = CHART_FOLDER / "files" / "other-names.yaml"
FILES_WITH_VERSION: Final = (
    "SECURITY.md",
    "docs/tutorial.md",
    "docs/how-to/deploy-on-kubernetes.md",
    "docs/reference/cli.md",
    "k8s/load/kustomization.yaml",
    "k8s/plain/kustomization.yaml",
)
_VERSION: Final = re.compile(r"(\baskd[ :-]|\bnewTag: |\bVERSION=)\d+\.\d+\.\d+((?:a|b|rc)\d+)?")
PLAIN_MANIFESTS: Final = CHART_FOLDER.parent / "k8s" / "plain" / "askd.yaml"
_SETTINGS_BLOCK: Final = re.compile(r"(# BEGIN settings[^\n]*\n).*?(\n# END settings)", re.DOTALL)
_JSON_TYPES: Final = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
_HELM_LABELS: Final = {"app.kubernetes.io/managed-by", "helm.sh/chart"}


def updated_values() -> str:
    """Return values.yaml with the current settings block."""
    return _SETTINGS_BLOCK.sub(
        lambda match: match[1] + settings_block.settings_block() + match[2], VALUES_FILE.read_text("utf-8")
    )


def values_schema(text: str) -> str:
    """Return values.schema.json for the text of values.yaml.

    helm-schema makes an equal schema of the same comments, without the names of other charts; a test compares them. It
    does not replace this function, because each change of a setting needs a new schema, also on a machine without Go.
    """
    root = _object(values_file.parse_values(text))
    root["properties"] |= {
        "global": {
            "type": "object",
            "description": "Global values of a parent chart: imageRegistry, imagePullSecrets, commonLabels are used.",
        },
        "enabled": {"type": "boolean", "description": "Not used; for the condition of a dependency in a parent chart."},
    }
    for name, fix in yaml.safe_load(OTHER_NAMES.read_text("utf-8")).items():
        _add_other_name(root, name.split("."), fix)
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of the chart askd"}
    return json.dumps(head | root, indent=2, ensure_ascii=False) + "\n"


def _object(values: tuple[Value, ...]) -> dict[str, Any]:
    """Return the schema of a mapping, which rejects unknown names.

    Nothing is required: `helm upgrade --reuse-values` lacks the values that a newer chart adds.
    """
    properties = {value.path[-1]: _property(value) for value in values}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _property(value: Value) -> dict[str, Any]:
    description = {"description": value.help} if value.help else {}
    if value.children:
        return description | _object(value.children)
    json_type = {} if value.default is None else {"type": _JSON_TYPES[type(value.default)]}
    return description | json_type | value.schema


def _add_other_name(schema: dict[str, Any], path: list[str], fix: str) -> None:
    """Let the schema accept a name of other charts, which templates/requirements.yaml rejects with the fix."""
    for name in path[:-1]:
        schema = schema["properties"][name]
    if "properties" in schema:
        assert path[-1] not in schema["properties"], f"{path} is a value of this chart"
        schema["properties"][path[-1]] = {"description": f"Not a value of this chart: {fix}."}


def defaults_template(text: str) -> str:
    """Return templates/_defaults.tpl for the text of values.yaml: every default except those that null removes."""
    rows = ",\n".join(
        f"  {json.dumps(value.path[-1])}: {json.dumps(_default(value), ensure_ascii=False)}"
        for value in values_file.parse_values(text)
        if _default(value)
    )
    return (
        "{{/* Generated from values.yaml by `make chart-files`. Default values, each in a list, for values that are\n"
        "     missing: they are null, or `helm upgrade --reuse-values` has those of an older chart. */}}\n"
        '{{- define "askd.defaults" -}}\n{\n' + rows + "\n}\n{{- end }}\n"
    )


def _default(value: Value) -> Any:
    """Return a value's default in a list, or those of its children by name; empty if null means something else."""
    if value.children:
        return {child.path[-1]: default for child in value.children if (default := _default(child))}
    nullable = "null" in value.schema.get("type", ())
    return [] if nullable or value.default is None else [value.default]


def plain_manifests() -> str:
    """Return k8s/plain/askd.yaml: the chart's default objects without the labels of Helm."""
    command = [
        "helm",
        "template",
        "askd",
        str(CHART_FOLDER),
        "--namespace",
        "askd",
        "--kube-version",
        "1.35.0",
        "--skip-tests",
    ]
    result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    items = [item for item in yaml.safe_load_all(result.stdout) if item]
    head = "# Generated from chart/ by `make chart-files`: change it there. `kubectl apply -k k8s/plain` installs it.\n"
    return head + "".join(
        "---\n" + yaml.safe_dump(_without_helm_labels(item), sort_keys=False, width=120) for item in items
    )


def _without_helm_labels(value: Any) -> Any:
    """Return an object without Helm's labels and without its namespace, which kustomization.yaml sets."""
    if isinstance(value, dict):
        return {
            key: _without_helm_labels(child)
            for key, child in value.items()
            if key not in _HELM_LABELS and key != "namespace"
        }
    return [_without_helm_labels(child) for child in value] if isinstance(value, list) else value


def updated_chart_yaml() -> str:
    """Return Chart.yaml with the version of the package, also as the tag of the image."""
    text = (CHART_FOLDER / "Chart.yaml").read_text("utf-8")
    text = re.sub(r"^( *image: .*:).*$", rf"\g<1>{__version__}", text, flags=re.MULTILINE)
    return re.sub(r"^((?:appV|v)ersion): .*$", rf"\1: {__version__}", text, flags=re.MULTILINE)


def generated_files() -> dict[Path, str]:
    """Return the content of each generated file except those of tools: k8s/plain (Helm) and README.md (helm-docs)."""
    values = updated_values()
    return {
        VALUES_FILE: values,
        CHART_FOLDER / "values.schema.json": values_schema(values),
        CHART_FOLDER / "templates" / "_bounds.tpl": settings_block.bounds_template(),
        CHART_FOLDER / "templates" / "_defaults.tpl": defaults_template(values),
        CHART_FOLDER / "Chart.yaml": updated_chart_yaml(),
        **{
            path: _VERSION.sub(rf"\g<1>{__version__}", path.read_text("utf-8"))
            for path in (CHART_FOLDER.parent / name for name in FILES_WITH_VERSION)
        },
    }


if __name__ == "__main__":
    for path, content in generated_files().items():
        path.write_text(content, "utf-8")
    if shutil.which("helm"):  # last, because they are rendered from the other files
        PLAIN_MANIFESTS.write_text(plain_manifests(), "utf-8")
    else:
        sys.stderr.write("skipped: k8s/plain, helm is not installed\n")
