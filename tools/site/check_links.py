"""Check the built site: every link and anchor leads somewhere, and pages load nothing from other hosts."""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

LOADING = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "srcset"}
"""Elements that a browser loads without a click, and the attribute with the address."""


class PageLinks(HTMLParser):
    """The ids, links and loaded files of a page."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Record the element."""
        attributes = {name: value or "" for name, value in attrs}
        self.ids |= {attributes.get("id", ""), attributes.get("name", "")}
        if tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])
        is_metadata = attributes.get("rel") in {"canonical", "next", "prev"}
        if (address := attributes.get(LOADING.get(tag, ""))) and not is_metadata:
            self.loaded.append(address)


def check(site: Path) -> list[str]:
    """Return the faults, one on a line."""
    pages = {page.resolve(): PageLinks(page) for page in sorted(site.rglob("*.html"))}
    faults, count = [], 0
    for page, content in pages.items():
        name = page.relative_to(site.resolve())
        if name.name == "404.html":
            continue  # its links are absolute, for the address that it is served at
        faults += [f"{name}: loads {address}" for address in content.loaded if "//" in address]
        for link in [*content.links, *content.loaded]:
            path, fragment = urldefrag(link)
            if ":" in path:
                continue
            count += 1
            target = (page.parent / unquote(path)).resolve() if path else page
            if not target.exists():
                faults.append(f"{name}: {link} does not exist")
            elif fragment and target in pages and unquote(fragment) not in pages[target].ids:
                faults.append(f"{name}: {link} has no such anchor")
    print(f"{len(pages)} pages, {count} links inside the site, {len(faults)} faults")
    return faults


if __name__ == "__main__":
    found = check(Path(sys.argv[1]))
    print("\n".join(found))
    sys.exit(bool(found))
