"""Package the chart for a registry: `python -m tools.chart.package ghcr.io/owner`, or `make chart-package`.

In the repository, the image is `askd`, as `make image` builds it, and alerts have no `runbook_url`. In the package the
image is the one of the registry, and the URLs are those of this version's runbooks in the public repository.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

from askd import __version__
from tools.chart.generate import defaults_template
from tools.chart.values_file import CHART_FOLDER, VALUES_FILE


def write_chart(folder: Path, registry: str) -> Path:
    """Write the chart with the registry and the URL of the runbooks as defaults. Returns the folder of the chart."""
    chart = Path(shutil.copytree(CHART_FOLDER, folder / CHART_FOLDER.name))
    home = yaml.safe_load((CHART_FOLDER / "Chart.yaml").read_text("utf-8"))["home"]
    values = VALUES_FILE.read_text("utf-8")
    for name, default in (("registry", registry), ("runbookUrl", f"{home}/blob/v{__version__}/docs/runbooks")):
        values, count = re.subn(f'^  {name}: ""$', f"  {name}: {default}", values, flags=re.MULTILINE)
        assert count == 1, f"values.yaml has no default of {name}"
    (chart / "values.yaml").write_text(values, "utf-8")
    (chart / "templates" / "_defaults.tpl").write_text(defaults_template(values), "utf-8")
    return chart


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        command = ["helm", "package", str(write_chart(Path(temporary), sys.argv[1])), "--destination", "dist"]
        sys.exit(subprocess.run(command, check=False).returncode)
