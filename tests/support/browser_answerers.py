"""Answerers for the browser tests, controlled by the question or by the test."""

import asyncio
from collections.abc import AsyncIterator

from askd.errors import Interrupted, NoAnswer
from askd.models import Answer, Contract, Question
from tests.support.openapi_answerers import FullContractAnswerer, MinimalAnswerer

HTML_INJECTION = "<img src=x onerror=document.title='stolen'>"


class EchoAnswerer(MinimalAnswerer):
    """Repeats the question. Has no answer to "nothing", fails for "boom", and waits for `release` for "wait"."""

    contract = Contract(
        summary="Repeats the question.",
        examples=["hello", "nothing"],
        answer_schema={"type": "object", "properties": {"answer": {"type": "string"}, "length": {"type": "integer"}}},
    )

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.wait_started = asyncio.Event()

    async def answer(self, question: Question) -> Answer:
        """Answer, or do what the question asks for."""
        if question.text == "nothing":
            raise NoAnswer(["something", HTML_INJECTION])
        if question.text == "boom":
            raise RuntimeError("secret")
        if question.text == "wait":
            self.wait_started.set()
            await self.release.wait()
        return Answer(question.text, {"length": len(question.text)})


class ConversationalEcho(EchoAnswerer):
    """An echo that supports threads, and records the thread of each question. "interrupt" asks for a reply."""

    supports_threads = True

    def __init__(self) -> None:
        super().__init__()
        self.threads: list[str | None] = []

    async def answer(self, question: Question) -> Answer:
        """Answer, or do what the question asks for."""
        self.threads.append(question.thread_id)
        if question.text == "interrupt":
            raise Interrupted("The graph waits.", interrupt={"question": "Cash or card?"})
        return await super().answer(question)


class StreamingAnswerer(FullContractAnswerer):
    """Streams a story in two parts: the second waits for `continue_stream`, the end for `finish_stream`."""

    def __init__(self) -> None:
        self.continue_stream = asyncio.Event()
        self.finish_stream = asyncio.Event()
        self.stream_closed = asyncio.Event()

    async def answer(self, question: Question) -> Answer:
        """Return the whole story."""
        return Answer("Once upon a time.", {"mood": "calm"})

    async def stream(self, question: Question) -> AsyncIterator[str | Answer]:
        """Stream the story; "boom" fails at the end."""
        try:
            yield "Once "
            await self.continue_stream.wait()
            yield "upon a time."
            await self.finish_stream.wait()
            if question.text == "boom":
                raise RuntimeError("secret")
            yield await self.answer(question)
        finally:
            self.stream_closed.set()

    def without_pauses(self) -> "StreamingAnswerer":
        """Let the stream run without pauses; return the answerer."""
        self.continue_stream.set()
        self.finish_stream.set()
        return self
