"""A tag is released only if the version, the changelog and the addresses are ready."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from askd import __version__
from tests.unit.test_conventions import ROOT
from tools import release_check

CHANGELOG = """\
# Changelog

## [Unreleased]

### Added

- Next.

## [1.1.0] - 2026-12-24

### Fixed

- A bug.

## [1.0.0] - 2026-11-30

## [0.9.0]

- Undated.
"""


def test_notes_are_the_section_of_the_version() -> None:
    """The notes of a version end before the section of the one before it."""
    assert release_check.release_notes(CHANGELOG, "1.1.0") == "### Fixed\n\n- A bug.\n"


@pytest.mark.parametrize(
    ("version", "reason"),
    [("1.0.0", "the section of 1.0.0 is empty"), ("0.9.0", "YYYY-MM-DD"), ("2.0.0", "rename \\[Unreleased\\]")],
)
def test_version_without_notes_is_refused(version: str, reason: str) -> None:
    """A version without a dated section with text cannot be released."""
    with pytest.raises(ValueError, match=reason):
        release_check.release_notes(CHANGELOG, version)


def test_tag_must_be_the_version() -> None:
    """A tag of another version is a problem that names the right tag; the right tag is not."""
    assert any(f"tag v{__version__}" in problem for problem in release_check.find_problems("v99.0.0"))
    assert not any("the tag is" in problem for problem in release_check.find_problems(f"v{__version__}"))


def test_publisher_writes_all_addresses(tmp_path: Path) -> None:
    """`make publisher` sets the owner in every file with a placeholder, and nothing else in them."""
    files = [
        *("Makefile", "CHANGELOG.md", "CODE_OF_CONDUCT.md", "SECURITY.md", "mkdocs.yml", "pyproject.toml"),
        *("chart/Chart.yaml", ".github/ISSUE_TEMPLATE/config.yml"),
    ]
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "."], cwd=tmp_path, check=True)
    subprocess.run(["make", "publisher", "OWNER=acme"], cwd=tmp_path, check=True, capture_output=True)
    texts = [(tmp_path / name).read_text(encoding="utf-8") for name in files]
    assert not any(re.search(r"(github|ghcr)\.example", text) for text in texts)
    assert 'Source = "https://github.com/acme/askd"' in (tmp_path / "pyproject.toml").read_text(encoding="utf-8")
    assert "image: ghcr.io/acme/askd:" in (tmp_path / "chart" / "Chart.yaml").read_text(encoding="utf-8")
    assert "site_url: https://acme.github.io/askd/" in (tmp_path / "mkdocs.yml").read_text(encoding="utf-8")
    assert "\nOWNER=acme " in (tmp_path / "SECURITY.md").read_text(encoding="utf-8")
    assert (tmp_path / "Makefile").read_bytes() == (ROOT / "Makefile").read_bytes()


def test_sections_of_the_changelog() -> None:
    """The sections of CHANGELOG.md and the headings in them are those of Keep a Changelog."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)", text, re.MULTILINE)[0] == "[Unreleased]"
    assert set(re.findall(r"^### (.*)", text, re.MULTILINE)) <= {
        *("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
    }
