"""A Python function as an answerer."""

from askd.answerers.function.answerer import FunctionAnswerer, accepts_question

__all__ = ["FunctionAnswerer", "accepts_question"]
