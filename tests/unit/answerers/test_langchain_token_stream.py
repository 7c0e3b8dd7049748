"""What is told of an answer while it is made, whatever models say in whatever order."""

from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, AIMessageChunk

from service.answerers.deltas import BETWEEN, Telling, Voices

NODES = st.sampled_from(["a", "b", "c"])
CHUNKS = st.lists(st.tuples(NODES, st.text(max_size=3), st.booleans()), max_size=20)


def tell(telling: Telling, chunks: list[tuple[str, str, bool]], answer: str) -> list[str]:
    """Take the chunks of one message for each node, a step ending where it is said, and the end."""
    told = []
    for node, text, ends in chunks:
        told.append(telling.take((), AIMessageChunk(content=text, id=node), {"langgraph_node": node}))
        if ends:
            telling.step()
    return [*told, telling.end(answer)]


@given(CHUNKS, st.text(max_size=9))
def test_silent_nodes_are_never_told(chunks: list[tuple[str, str, bool]], answer: str) -> None:
    """Where no node speaks that said anything, the deltas joined are the answer."""
    assert "".join(tell(Telling(Voices({"z"})), chunks, answer)) == answer


@given(CHUNKS, NODES)
def test_the_only_node_that_speaks(chunks: list[tuple[str, str, bool]], node: str) -> None:
    """Where the node that answers alone speaks, the deltas joined are the answer, however others are mixed in."""
    answer = "".join(text for each, text, _ in chunks if each == node)
    telling = Telling(Voices({node}))
    told = "".join(tell(telling, [(each, text, False) for each, text, _ in chunks], answer))
    assert told == answer


@given(CHUNKS, st.text(max_size=9))
def test_after_one_answer_only_those_that_gave_it_speak(chunks: list[tuple[str, str, bool]], answer: str) -> None:
    """What was learnt holds: who said something else is silent, who said the answer is not."""
    voices = Voices(None)
    tell(Telling(voices), chunks, answer)
    for node in {each for each, text, _ in chunks if text}:
        said = "".join(text for each, text, _ in chunks if each == node)
        assert voices.speaks((node,)) == (said.strip() == answer.strip())


def test_messages_are_set_apart() -> None:
    """What is told of a second message starts a paragraph, with all that it has said until then."""
    chunks = [("a", "one", False), ("b", "two", True), ("b", " more", False)]
    assert tell(Telling(Voices(None)), chunks, "two more") == ["one", "", f"{BETWEEN}two more", ""]


def test_nodes_of_subgraphs_are_told_apart() -> None:
    """Nodes of one name in two subgraphs are two; the outermost decides whether it leads to the end."""
    voices = Voices({"left"})
    telling = Telling(voices)
    about = {"langgraph_node": "model"}
    assert telling.take(("left:1",), AIMessageChunk(content="x", id="1"), about) == "x"
    telling.step()
    assert telling.take(("right:2",), AIMessageChunk(content="y", id="2"), about) == ""
    assert telling.end("y") == ""
    assert (voices.speaks(("left", "model")), voices.speaks(("right", "model"))) == (False, True)


def test_whole_messages_and_others_are_no_deltas() -> None:
    """Only chunks of the AI's are told: whole messages are in the state, and those of tools are not for clients."""
    telling = Telling(Voices(None))
    assert telling.take((), AIMessage("x"), {}) == ""
    assert telling.take((), {"type": "tool", "content": "x"}, {}) == ""
    assert telling.take((), {"type": "AIMessageChunk", "content": "x"}, {}) == "x"
