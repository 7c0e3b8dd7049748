"""Docstrings of three usual styles, taken apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.answerers.function.docstring import parsed


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
    """Three usual styles describe parameters; nothing of them is left in the description."""
    found = parsed(doc)
    assert (found.summary, found.description) == ("Say it.", "More.")
    assert found.parameters == {"lang": "the language", "n": "how many"}


@given(st.text(alphabet=":- \nabArgs()", max_size=80))
def test_any_docstring_is_taken(doc: str) -> None:
    """No docstring is too odd to be taken apart."""
    assert isinstance(parsed(doc).summary, str)
