"""Print what pyproject.toml wants at run time, a requirement a line: `python wanted.py redis,otel`.

The argument names extras, separated by commas; one that pyproject.toml does not declare is passed over.
"""

import sys
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text(encoding="utf-8"))["project"]
declared = project.get("optional-dependencies", {})
wanted = [*project["dependencies"], *(line for extra in sys.argv[1].split(",") for line in declared.get(extra, ()))]
print("\n".join(wanted))
