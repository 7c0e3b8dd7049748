"""Check that a tag can be released, and print its notes: `make release-notes`, `python -m tools.release_check TAG`."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import yaml

from askd import __version__

ROOT: Final = Path(__file__).parents[1]
_SECTION: Final = re.compile(
    r"^## \[(?P<version>[^\]]+)\](?: - (?P<date>\d{4}-\d\d-\d\d))?\n(?P<text>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL
)


def release_notes(changelog: str, version: str) -> str:
    """Return the text of a version's section in the changelog. Raises ValueError if it is missing, undated or empty."""
    section = next((match for match in _SECTION.finditer(changelog) if match["version"] == version), None)
    if section is None or not section["date"]:
        raise ValueError(f"CHANGELOG.md has no section '## [{version}] - YYYY-MM-DD': rename [Unreleased]")
    if not section["text"].strip():
        raise ValueError(f"CHANGELOG.md: the section of {version} is empty: write what changes for users")
    return section["text"].strip() + "\n"


def find_problems(tag: str) -> list[str]:
    """Return one line for each reason not to release this commit as `tag`, such as v1.2.3."""
    problems = []
    if tag != f"v{__version__}":
        problems.append(
            f"the tag is {tag!r}, but service/askd/__init__.py has the version {__version__}: tag v{__version__}"
        )
    chart = yaml.safe_load((ROOT / "chart" / "Chart.yaml").read_text("utf-8"))
    if {chart["version"], chart["appVersion"]} != {__version__}:
        problems.append(f"chart/Chart.yaml does not have the version {__version__}: run make chart-files")
    if files := _files_with(r"(github|ghcr)\.example"):
        problems.append(f"{files}: the address is a placeholder: run make publisher OWNER=name, and commit")
    if files := _files_with("published yet", "README.md", "docs"):
        problems.append(f"{files}: askd is called unpublished: describe how to install the published package")
    return problems


def _files_with(pattern: str, *folders: str) -> str:
    """Return the names of the committed files with a pattern, separated by commas."""
    command = ["git", "grep", "-lE", pattern, "--", *folders]
    return ", ".join(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.splitlines())


def main() -> int:
    """Print the notes, or the problems on standard error. Returns the exit code."""
    tag = sys.argv[1] if len(sys.argv) > 1 else ""
    problems, notes = find_problems(tag), ""
    try:
        notes = release_notes((ROOT / "CHANGELOG.md").read_text("utf-8"), __version__)
    except ValueError as error:
        problems.append(str(error))
    sys.stderr.writelines(f"{problem}\n" for problem in problems)
    sys.stdout.write("" if problems else notes)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
