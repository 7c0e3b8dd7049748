"""Turns of large answers."""

import asyncio
import itertools

import pytest

from askd.api.large_answers import LARGE_ANSWER, LargeAnswers, is_large
from askd.errors import Overloaded
from askd.models import Answer

LARGE = Answer("x" * 100_000)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer("x" * LARGE_ANSWER), False),
        (Answer("x" * (LARGE_ANSWER + 1)), True),
        (Answer("x", {"number": 7, "source": "y" * LARGE_ANSWER}), True),
    ],
)
def test_size_of_text_and_fields_decides(answer: Answer, *, expected: bool) -> None:
    """An answer is large by its text and its fields together."""
    assert is_large(answer) is expected


async def run_iterations(count: int) -> None:
    """Let the event loop run."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_answers_take_turns() -> None:
    """Of a burst, one answer is rendered in an iteration of the event loop, in the order of their arrival."""
    turns, rendered = LargeAnswers(10**6, lambda: False), list[int]()

    async def render(number: int) -> None:
        await turns.wait_for_turn(LARGE)
        rendered.append(number)

    async with asyncio.TaskGroup() as tasks:
        for number in range(5):
            tasks.create_task(render(number))
        counts = [0]
        while len(rendered) < 5:
            await asyncio.sleep(0)
            counts.append(len(rendered))
    assert rendered == [0, 1, 2, 3, 4]
    assert max(after - before for before, after in itertools.pairwise(counts)) == 1


async def test_answers_wait_for_memory() -> None:
    """No large answer is rendered while memory of unread responses is being released."""
    is_releasing = True
    turns = LargeAnswers(10**6, lambda: is_releasing)
    waiting = asyncio.create_task(turns.wait_for_turn(LARGE))
    await run_iterations(10)
    assert not waiting.done()
    is_releasing = False
    await asyncio.wait_for(waiting, 5)


async def test_waiting_answers_are_bounded() -> None:
    """Beyond the limit, further answers are refused; one that is larger than the limit is not."""
    is_releasing = True
    turns = LargeAnswers(250_000, lambda: is_releasing)
    waiting = [asyncio.create_task(turns.wait_for_turn(LARGE)) for _ in range(2)]
    await run_iterations(2)
    with pytest.raises(Overloaded):
        await turns.wait_for_turn(LARGE)
    waiting[0].cancel()  # its client has left
    await run_iterations(2)
    waiting.append(asyncio.create_task(turns.wait_for_turn(LARGE)))
    is_releasing = False
    assert [repr(result) for result in await asyncio.gather(*waiting, return_exceptions=True)][1:] == ["None"] * 2
    await asyncio.wait_for(turns.wait_for_turn(Answer("x" * 10**6)), 5)
