"""The files that are made: rules and dashboard, for those without the operator and for the chart."""

from pathlib import Path
from typing import Any, Final

import yaml

from tests.rules.alerts import burning, files, serving
from tests.rules.dashboard import dashboard
from tests.rules.parameters import PLACEHOLDERS, Parameters
from tests.rules.recording import recording

ROOT: Final = Path(__file__).parents[2]
PLAIN: Final = ROOT / "k8s" / "prometheus" / "rules.yaml"
CHART: Final = ROOT / "chart" / "files"
RUNBOOKS: Final = ROOT / "docs" / "runbooks"
_HEAD: Final = "# Made by `python -m tests.rules`: change tests/rules/. What each alert means is in docs/runbooks/.\n"


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as they are read."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def groups(parameters: Parameters) -> dict[str, Any]:
    """Return the rules as Prometheus reads them."""
    burn, others = list(burning(parameters)), [*serving(parameters), *files(parameters)]
    return {
        "groups": [
            # One group, for its rules are evaluated one after the other: an alert sees what has just been recorded.
            {"name": "askd.objectives", "rules": [*recording(parameters), *(each.rule(parameters) for each in burn)]},
            {"name": "askd.serving", "rules": [alert.rule(parameters) for alert in others]},
        ]
    }


def rules(parameters: Parameters) -> str:
    """Return them as a file."""
    return _HEAD + yaml.dump(groups(parameters), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def made() -> dict[Path, str]:
    """Return every file that is made, with what it must hold."""
    return {
        PLAIN: rules(Parameters()),
        CHART / "rules.yaml": rules(PLACEHOLDERS),
        PLAIN.with_name("dashboard.json"): dashboard(Parameters()),
        CHART / "dashboard.json": dashboard(PLACEHOLDERS),
    }
