"""Docstrings in Google, NumPy and Sphinx style."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askd.answerers.function.docstrings import parse_docstring


@pytest.mark.parametrize(
    "doc",
    [
        "Say it.\n\nMore.\n\nArgs:\n    lang (str): the\n        language\n    n: how many\n\nReturns:\n    a: b",
        "Say it.\n\nMore.\n\nParameters\n---\nlang : str\n    the\n    language\nn\n    how many\n\nReturns\n---\ntext",
        "Say it.\n\nMore.\n\n:param lang: the\n    language\n:param int n: how many\n:type n: int\n:returns: text",
    ],
    ids=["google", "numpy", "sphinx"],
)
def test_docstring_styles(doc: str) -> None:
    """All three styles describe parameters, and the description contains none of them."""
    docstring = parse_docstring(doc)
    assert (docstring.summary, docstring.description) == ("Say it.", "More.")
    assert docstring.parameters == {"lang": "the language", "n": "how many"}


@given(st.text(alphabet=":- \nabArgs()", max_size=80))
def test_any_docstring_is_accepted(doc: str) -> None:
    """No docstring is an error."""
    assert isinstance(parse_docstring(doc).summary, str)
