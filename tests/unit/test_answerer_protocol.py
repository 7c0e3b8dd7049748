"""The defaults of the Answerer protocol."""

from askd.models import Answer, Answerer, AnswererStatistics, Question


class Echo(Answerer):
    """A minimal answerer."""

    kind = "echo"
    name = "echo"

    async def answer(self, question: Question) -> Answer:
        """Return the question's text."""
        return Answer(question.text)


QUESTION = Question(text="hello")


def test_default_attributes() -> None:
    """By default an answerer is not deterministic, does not stream, and its version and statistics are empty."""
    echo = Echo()
    assert (echo.deterministic, echo.supports_streaming, echo.version) == (False, False, "")
    assert echo.statistics() == AnswererStatistics()
    assert not echo.contract.parameters


async def test_default_life_cycle() -> None:
    """Without its own `load`, `ready` and `close` an answerer is ready at once and has nothing to release."""
    echo = Echo()
    progress: list[str] = []
    await echo.load(progress.append)
    assert await echo.ready() == (True, "")
    await echo.close()
    assert not progress


def test_default_parameters_are_ignored() -> None:
    """Unknown parameters are ignored, and no answer is immediate."""
    echo = Echo()
    assert echo.parse_parameters({"lang": ["de"]}, from_strings=True) == {}
    assert echo.try_immediate(QUESTION) is None


async def test_default_stream_is_one_delta() -> None:
    """An answerer without streaming yields its whole text once, then the answer."""
    assert [part async for part in Echo().stream(QUESTION)] == ["hello", Answer("hello")]


def test_questions_do_not_share_stage_timings() -> None:
    """Each question has its own StageTimings."""
    assert QUESTION.stages is not Question(text="hello").stages
