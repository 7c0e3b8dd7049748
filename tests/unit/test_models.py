"""The protocol's defaults: what an answerer has that subclasses it and only answers."""

from service.models import Answer, Answerer, Question, Statistics


class Echo(Answerer):
    """The least that an answerer must have."""

    kind = "echo"
    name = "echo"

    async def answer(self, question: Question) -> Answer:
        """Give the question back."""
        return Answer(question.text)


QUESTION = Question(text="hello")


def test_an_answerer_that_declares_nothing_promises_nothing() -> None:
    """By default answers may differ, come whole, have no version, no parameters and no statistics."""
    echo = Echo()
    assert (echo.deterministic, echo.streams, echo.version) == (False, False, "")
    assert echo.statistics() == Statistics()
    assert not echo.contract.parameters


async def test_an_answerer_may_leave_out_its_life_cycle() -> None:
    """Without `load`, `ready` and `close` of its own an answerer is ready at once and has nothing to release."""
    echo = Echo()
    seen: list[str] = []
    await echo.load(seen.append)
    assert await echo.ready() == (True, "")
    await echo.close()
    assert not seen


def test_an_answerer_without_parameters_ignores_what_comes_beside_the_question() -> None:
    """Names that an answerer does not know are left out, and nothing is at hand."""
    echo = Echo()
    assert echo.bind({"lang": ["de"]}, textual=True) == {}
    assert echo.at_hand(QUESTION) is None


async def test_a_stream_is_one_delta_and_the_answer_by_default() -> None:
    """An answerer that does not stream still can be asked to: the whole text once, then the answer."""
    assert [part async for part in Echo().stream(QUESTION)] == ["hello", Answer("hello")]


def test_questions_have_stages_of_their_own() -> None:
    """No two questions share where the times of their stages are written."""
    assert QUESTION.stages is not Question(text="hello").stages
