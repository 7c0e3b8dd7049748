"""Print the run-time requirements in pyproject.toml, one per line: `python list_requirements.py redis,otel`.

The argument is a list of extras, separated by commas. Extras that pyproject.toml does not declare are ignored.
"""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
extras = project.get("optional-dependencies", {})
requirements = [*project["dependencies"], *(line for name in sys.argv[1].split(",") for line in extras.get(name, ()))]
print("\n".join(requirements))
