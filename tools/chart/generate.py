"""What is made from chart/values.yaml and service/settings/. To write it anew: `make chart-files`."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from service import __version__
from tests.chart import generated_settings, manual
from tests.chart.manual import CHART, VALUES, Value

PLAIN: Final = CHART.parent / "k8s" / "plain" / "askd.yaml"
_SETTINGS: Final = re.compile(r"(# BEGIN settings[^\n]*\n).*?(\n# END settings)", re.DOTALL)
_TYPES: Final = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
_TABLE: Final = re.compile(r"(<!-- BEGIN values[^\n]*-->\n).*?(\n<!-- END values -->)", re.DOTALL)
_HELM_ONLY: Final = {"app.kubernetes.io/managed-by", "helm.sh/chart"}


def values() -> str:
    """Return values.yaml with the block of the settings as they are now."""
    return _SETTINGS.sub(lambda found: found[1] + generated_settings.block() + found[2], VALUES.read_text("utf-8"))


def schema(text: str) -> str:
    """Return values.schema.json for the text of values.yaml."""
    root = _object(manual.read(text))
    root["properties"] |= {
        "global": {
            "type": "object",
            "description": "What a chart around this one gives to all; imageRegistry is used.",
        },
        "enabled": {"type": "boolean", "description": "For the condition of a chart around this one."},
    }
    head = {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of the chart askd"}
    return json.dumps(head | root, indent=2, ensure_ascii=False) + "\n"


def _object(values: tuple[Value, ...]) -> dict[str, Any]:
    """Return the schema of a closed object: a name that is none is a slip. null removes a value, so none may go."""
    properties = {value.path[-1]: _property(value) for value in values}
    required = [name for name, found in properties.items() if "null" not in found.get("type", ())]
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


def _property(value: Value) -> dict[str, Any]:
    described = {"description": value.help} if value.help else {}
    if value.children:
        return described | _object(value.children)
    kind = {} if value.default is None else {"type": _TYPES[type(value.default)]}
    return described | kind | value.schema


def readme(text: str, table_of: str) -> str:
    """Return chart/README.md, `text`, with the table of the values in `table_of`, the text of values.yaml."""
    return _TABLE.sub(lambda found: found[1] + "\n".join(_table(manual.read(table_of))) + found[2], text)


def _table(values: tuple[Value, ...]) -> Iterator[str]:
    yield "| value | default | meaning |\n| --- | --- | --- |"
    for value in manual.leaves(values):
        default = json.dumps(value.default, ensure_ascii=False)
        shown = default if len(default) <= 40 else "see values.yaml"
        yield f"| `{value.name}` | `{shown}` | {value.help.replace('|', chr(92) + '|')} |"


def plain() -> str:
    """Return k8s/plain/askd.yaml: what the chart renders by default, without what is Helm's."""
    command = [
        "helm",
        "template",
        "askd",
        str(CHART),
        "--namespace",
        "askd",
        "--kube-version",
        "1.35.0",
        "--skip-tests",
    ]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    objects = [found for found in yaml.safe_load_all(done.stdout) if found]
    head = "# Made from chart/ by `make chart-files`: change it there. `kubectl apply -k k8s/plain` installs it.\n"
    return head + "".join("---\n" + yaml.safe_dump(_plain(found), sort_keys=False, width=120) for found in objects)


def _plain(found: Any) -> Any:
    """Return an object without Helm's labels and without a namespace, which kustomization.yaml gives."""
    if isinstance(found, dict):
        return {key: _plain(inner) for key, inner in found.items() if key not in _HELM_ONLY and key != "namespace"}
    return [_plain(inner) for inner in found] if isinstance(found, list) else found


def chart_yaml() -> str:
    """Return Chart.yaml with the version of the package."""
    text = (CHART / "Chart.yaml").read_text("utf-8")
    return re.sub(r"^((?:appV|v)ersion): .*$", rf"\1: {__version__}", text, flags=re.MULTILINE)


def files() -> dict[Path, str]:
    """Return every file that is made, with what it must hold; the plain manifests only where helm is."""
    text = values()
    page = CHART / "README.md"
    return {
        VALUES: text,
        CHART / "values.schema.json": schema(text),
        CHART / "templates" / "_bounds.tpl": generated_settings.bounds_template(),
        CHART / "Chart.yaml": chart_yaml(),
        page: readme(page.read_text("utf-8"), text),
    }


if __name__ == "__main__":
    for path, content in files().items():
        path.write_text(content, "utf-8")
    if shutil.which("helm"):  # after the others: it is rendered from them
        PLAIN.write_text(plain(), "utf-8")
    else:
        sys.stderr.write("skipped: k8s/plain, helm is not installed\n")
