"""A graph as an answerer: anything with `ainvoke`, above all LangGraph's compiled graphs. LangGraph is not imported.

Found (`project`), made (`making`), looked at (`shape`), asked (`answerer`), within a `conversation`; its end is told by
`outcome`, its beginnings by `service.answerers.deltas`.
"""

from service.answerers.graph.answerer import Graph

__all__ = ["Graph"]
