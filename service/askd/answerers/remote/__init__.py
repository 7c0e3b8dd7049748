"""Remote answerers: servers that answer over HTTP, a LangGraph server or another askd, behind one client.

    address                           the spec's parts, and that it is not askd itself
    upstream, reply                   one session, and a response that has begun
    judge                             what of a request counts for the circuit
    base                              looked up at the start, or later; then ready
    langgraph: assistants runs
    askd: contract problems
    sse hops key faults               what both need

The module is loaded only where a spec names a server: HTTP's client library costs time at the start.
"""

from service.answerers.remote.address import Address, parsed
from service.answerers.remote.askd import Askd
from service.answerers.remote.key import Key
from service.answerers.remote.langgraph import LangGraph
from service.answerers.remote.upstream import DEADLINE, Upstream
from service.models import Answerer
from service.settings import Settings

__all__ = ["Address", "Askd", "Key", "LangGraph", "Upstream", "remote"]


def remote(spec: str, settings: Settings) -> Answerer:
    """Return the answerer for a URL, not connected yet. Raises SpecError."""
    address = parsed(spec, settings)
    deadline = settings.deadline or DEADLINE
    upstream = Upstream(address.base, Key(settings.upstream_key_file), deadline=deadline)
    needed = settings.ready_needs_answerer
    if address.askd:
        return Askd(address, upstream, needed=needed)
    keys = dict(input_key=settings.graph_input_key, output_key=settings.graph_output_key)
    return LangGraph(address, upstream, needed=needed, **keys)
