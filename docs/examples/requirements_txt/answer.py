"""Markdown to HTML with a package from PyPI: `pip install -r requirements.txt`, then `askd serve` in this folder.

To build an image from the same files, run `make image` once to build askd's, then:

    docker build -t markdown docs/examples/requirements_txt
    docker run -p 2024:2024 markdown
    curl -d '{"q": "# Hello"}' -H 'Content-Type: application/json' localhost:2024/ask
"""

from markdown_it import MarkdownIt

markdown = MarkdownIt("commonmark", {"html": False})


def answer(text: str) -> str:
    """Render Markdown as HTML."""
    return markdown.render(text).strip()


answer.deterministic = True  # type: ignore[attr-defined] # mypy does not know attributes of functions
