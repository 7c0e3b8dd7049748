"""A Python function as an answerer: found (`importing`, `target`), understood (`signature`), called (`answerer`)."""

from service.answerers.function.answerer import Function

__all__ = ["Function"]
