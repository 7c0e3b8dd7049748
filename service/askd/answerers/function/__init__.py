"""A Python function as an answerer."""

from askd.answerers.function.answerer import FunctionAnswerer

__all__ = ["FunctionAnswerer"]
