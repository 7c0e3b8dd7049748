"""askd, the answer server: it serves a Python function, a graph or a book of questions and answers over HTTP."""

__version__ = "0.1.0"
