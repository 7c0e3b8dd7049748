"""Hooks of mkdocs: the navigation, links that leave docs/, the recording of the tutorial, and llms.txt."""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page

from askd import __version__
from tools.site.terminal_recording import record_tutorial

ROOT = Path(__file__).parents[2]
RECORDING = "pictures/tutorial-terminal.svg"
_LINK = re.compile(r"(\]\()([^)\s#]+)([^)\s]*\))")
_sections: dict[str, list[Page]] = {}
"""The pages of each section, by its title, in the order of the navigation."""


def on_config(config: Any) -> Any:
    """List all pages of a folder in the navigation, by their titles."""
    for entry in config.nav:
        ((title, value),) = entry.items()
        if not value.endswith(".md"):
            pages = sorted((ROOT / "docs" / value).glob("*.md"))
            entry[title] = [page.relative_to(ROOT / "docs").as_posix() for page in pages]
            if value == "explanation":
                entry[title].insert(0, "architecture.md")
    runbooks = sorted((ROOT / "docs" / "runbooks").glob("*.md"))
    config.nav.append({"Runbooks": [page.relative_to(ROOT / "docs").as_posix() for page in runbooks]})
    return config


def on_nav(nav: Navigation, **_: Any) -> None:
    """Note the pages of each section. Pages beside the sections are the first section."""
    _sections["Start"] = [item for item in nav.items if isinstance(item, Page)]
    _sections.update({item.title: item.children for item in nav.items if item.is_section})


def on_files(files: Files, *, config: Any) -> Files:
    """Run the commands of the tutorial, and add their recording to the site."""
    files.append(File.generated(config, RECORDING, content=record_tutorial()))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: Any, files: Files) -> str:
    """Show the recording in the tutorial; turn links to files that are no pages into links to the repository's tag."""
    path = page.file.src_uri
    source = f"{config.extra['social'][0]['link']}/blob/v{__version__}"
    if path == "tutorial.md":
        heading, _, rest = markdown.partition("\n\n")
        markdown = f"{heading}\n\n![The commands of this page in a terminal, with their output]({RECORDING})\n\n{rest}"
    folder = posixpath.dirname(path)

    def replace(match: re.Match[str]) -> str:
        link = match[2]
        target = posixpath.normpath(posixpath.join("docs", folder, link))
        file = files.get_file_from_path(target.removeprefix("docs/"))
        if "://" in link or link.startswith("mailto:") or (file and file.inclusion.is_included()):
            return match[0]
        return f"{match[1]}{source}/{target}{match[3]}"

    return _LINK.sub(replace, markdown)


def on_post_build(*, config: Any) -> None:
    """Write llms.txt, the list of all pages, and llms-full.txt, their text."""
    site = Path(config.site_dir)
    lines = ["# askd", "", f"> {config.site_description}: serve a function, a graph or a book over HTTP."]
    for title, pages in _sections.items():
        lines += ["", f"## {title}", "", *(f"- [{page.title}]({page.canonical_url})" for page in pages)]
    (site / "llms.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = "\n\n".join(
        f"<!-- {page.canonical_url} -->\n\n{page.markdown}" for pages in _sections.values() for page in pages
    )
    (site / "llms-full.txt").write_text(text + "\n", encoding="utf-8")
