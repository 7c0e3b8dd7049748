"""The official client of OpenAI: synchronous, asynchronous and streaming."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest

MESSAGES: Any = [{"role": "user", "content": "a fox"}]


@pytest.fixture
def client(functions: str) -> Iterator[openai.OpenAI]:
    """Return a client that does not retry."""
    with openai.OpenAI(base_url=f"{functions}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
async def async_client(functions: str) -> AsyncIterator[openai.AsyncOpenAI]:
    """Return an asynchronous client that does not retry."""
    async with openai.AsyncOpenAI(base_url=f"{functions}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_models(client: openai.OpenAI) -> None:
    """Each function is a model."""
    assert {model.id for model in client.models.list()} == {"count", "story", "weather"}


def test_completion(client: openai.OpenAI) -> None:
    """The answer is the message of the assistant; unknown usage is zero."""
    completion = client.chat.completions.create(model="story", messages=MESSAGES, temperature=0.2, max_tokens=9)
    assert completion.choices[0].message.content == "There was a fox"
    assert completion.usage is not None
    assert completion.usage.total_tokens == 0


def test_stream(client: openai.OpenAI) -> None:
    """Each piece is a chunk; the helper for streams puts them together."""
    chunks = client.chat.completions.create(
        model="story", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    deltas = [chunk.choices[0].delta.content if chunk.choices else chunk.usage for chunk in chunks]
    assert deltas[:-1] == ["There ", "was ", "a fox", None]
    with client.chat.completions.stream(model="story", messages=MESSAGES) as stream:
        assert stream.get_final_completion().choices[0].message.content == "There was a fox"


async def test_asynchronous_client(async_client: openai.AsyncOpenAI) -> None:
    """Completions and streams are the same for the asynchronous client."""
    completion = await async_client.chat.completions.create(model="story", messages=MESSAGES)
    assert completion.choices[0].message.content == "There was a fox"
    chunks = await async_client.chat.completions.create(model="story", messages=MESSAGES, stream=True)
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in chunks]) == "There was a fox"


def test_history(client: openai.OpenAI) -> None:
    """The messages before the question reach the function."""
    messages: Any = [*MESSAGES, {"role": "assistant", "content": "There was"}, *MESSAGES]
    completion = client.chat.completions.create(model="count", messages=messages)
    assert completion.choices[0].message.content == "3"


def test_parameters_of_the_function(client: openai.OpenAI) -> None:
    """`extra_body` sets parameters of the function."""
    completion = client.chat.completions.create(model="weather", messages=MESSAGES, extra_body={"days": 3})
    assert completion.choices[0].message.content == '{"city":"a fox","days":3}'


def test_errors(client: openai.OpenAI) -> None:
    """The client raises its own classes, with parameter and code."""
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="nothing", messages=MESSAGES)
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as unsupported:
        client.chat.completions.create(model="story", messages=MESSAGES, n=2)
    assert unsupported.value.param == "n"
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(model="weather", messages=[{"role": "user", "content": "Atlantis"}])
