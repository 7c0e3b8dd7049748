"""A graph as an answerer: any object with `ainvoke`, such as LangGraph's compiled graphs. LangGraph is not imported."""

from askd.answerers.graph.answerer import GraphAnswerer

__all__ = ["GraphAnswerer"]
