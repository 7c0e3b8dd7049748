"""Streaming of model tokens, for any order of chunks."""

from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk

from askd.answerers.graph_stream import MESSAGE_SEPARATOR, StreamedNodes, TokenStream

NODES = st.sampled_from(["a", "b", "c"])
CHUNKS = st.lists(st.tuples(NODES, st.text(max_size=3), st.booleans()), max_size=20)
"""Node, text, and whether a step of the graph ends after the chunk."""


def stream(tokens: TokenStream, chunks: list[tuple[str, str, bool]], answer: str) -> list[str]:
    """Return the deltas for chunks of one message per node, and the rest at the end."""
    deltas = []
    for node, text, ends_step in chunks:
        deltas.append(tokens.add_chunk((), AIMessageChunk(content=text, id=node), {"langgraph_node": node}))
        if ends_step:
            tokens.finish_step()
    return [*deltas, tokens.finish(answer)]


@given(CHUNKS, st.text(max_size=9))
def test_other_nodes_are_not_streamed(chunks: list[tuple[str, str, bool]], answer: str) -> None:
    """If only nodes produce text that are not streamed, the deltas joined are the answer."""
    assert "".join(stream(TokenStream(StreamedNodes({"z"})), chunks, answer)) == answer


@given(CHUNKS, NODES)
def test_only_streamed_node(chunks: list[tuple[str, str, bool]], node: str) -> None:
    """If the node that answers is the only streamed one, the deltas joined are the answer, in any mix of chunks."""
    answer = "".join(text for chunk_node, text, _ in chunks if chunk_node == node)
    tokens = TokenStream(StreamedNodes({node}))
    deltas = stream(tokens, [(chunk_node, text, False) for chunk_node, text, _ in chunks], answer)
    assert "".join(deltas) == answer


@given(CHUNKS, st.text(max_size=9))
def test_outcome_decides_streamed_nodes(chunks: list[tuple[str, str, bool]], answer: str) -> None:
    """After an answer, exactly the nodes whose text was the answer are streamed."""
    streamed_nodes = StreamedNodes(None)
    stream(TokenStream(streamed_nodes), chunks, answer)
    for node in {chunk_node for chunk_node, text, _ in chunks if text}:
        node_text = "".join(text for chunk_node, text, _ in chunks if chunk_node == node)
        assert streamed_nodes.is_streamed((node,)) == (node_text.strip() == answer.strip())


def test_messages_are_separated() -> None:
    """The first delta of a second message starts a paragraph, with all text of the message until then."""
    chunks = [("a", "one", False), ("b", "two", True), ("b", " more", False)]
    deltas = stream(TokenStream(StreamedNodes(None)), chunks, "two more")
    assert deltas == ["one", "", f"{MESSAGE_SEPARATOR}two more", ""]


def test_nodes_of_subgraphs_are_distinct() -> None:
    """Nodes of the same name in two subgraphs are two nodes; the outermost node decides if it leads to the end."""
    streamed_nodes = StreamedNodes({"left"})
    tokens = TokenStream(streamed_nodes)
    metadata = {"langgraph_node": "model"}
    assert tokens.add_chunk(("left:1",), AIMessageChunk(content="x", id="1"), metadata) == "x"
    tokens.finish_step()
    assert tokens.add_chunk(("right:2",), AIMessageChunk(content="y", id="2"), metadata) == ""
    assert tokens.finish("y") == ""
    left, right = streamed_nodes.is_streamed(("left", "model")), streamed_nodes.is_streamed(("right", "model"))
    assert (left, right) == (False, True)


def test_other_messages_are_not_deltas() -> None:
    """Only AI message chunks are streamed: complete messages are in the state, tool messages are not for clients."""
    tokens = TokenStream(StreamedNodes(None))
    assert tokens.add_chunk((), AIMessage("x"), {}) == ""
    assert tokens.add_chunk((), {"type": "tool", "content": "x"}, {}) == ""
    assert tokens.add_chunk((), {"type": "AIMessageChunk", "content": "x"}, {}) == "x"
