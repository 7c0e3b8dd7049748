"""Markdown to HTML, by a package: `pip install -r requirements.txt`, then `askd serve` in this folder.

As an image, from the same files, once `make image` has made askd's:

    docker build -t markdown docs/examples/requirement
    docker run -p 2024:2024 markdown
    curl -d '{"q": "# Hello"}' -H 'Content-Type: application/json' localhost:2024/ask
"""

from markdown_it import MarkdownIt

markdown = MarkdownIt("commonmark", {"html": False})


def answer(text: str) -> str:
    """Render Markdown as HTML."""
    return markdown.render(text).strip()


answer.deterministic = True  # type: ignore[attr-defined] # functions may have attributes, mypy thinks otherwise
