"""Answerers for the tests in a browser: what each does is told by the question, or by the test."""

import asyncio
from collections.abc import AsyncIterator

from service.errors import NoAnswer
from service.models import Answer, Contract, Question
from tests.web.page_fakes import Book, Storyteller

EVIL = "<img src=x onerror=document.title='stolen'>"


class Echo(Book):
    """Says what was said. Has no answer to "nothing", fails at "boom", and is at "wait" until `release` is set."""

    contract = Contract(
        summary="Says it back.",
        examples=["hello", "nothing"],
        answer_schema={"type": "object", "properties": {"answer": {"type": "string"}, "length": {"type": "integer"}}},
    )

    def __init__(self) -> None:
        self.release = asyncio.Event()
        self.waits = asyncio.Event()

    async def answer(self, question: Question) -> Answer:
        """Answer, or do what the question is a word for."""
        if question.text == "nothing":
            raise NoAnswer(["something", EVIL])
        if question.text == "boom":
            raise RuntimeError("secret")
        if question.text == "wait":
            self.waits.set()
            await self.release.wait()
        return Answer(question.text, {"length": len(question.text)})


class Talker(Echo):
    """An echo that remembers threads."""

    conversational = True


class Teller(Storyteller):
    """Tells a story: the first words at once, the others when `more` is set, the end when `over` is."""

    def __init__(self) -> None:
        self.more = asyncio.Event()
        self.over = asyncio.Event()
        self.stopped = asyncio.Event()

    async def answer(self, question: Question) -> Answer:
        """Tell the whole."""
        return Answer("Once upon a time.", {"mood": "calm"})

    async def stream(self, question: Question) -> AsyncIterator[str | Answer]:
        """Yield the words."""
        try:
            yield "Once "
            await self.more.wait()
            yield "upon a time."
            await self.over.wait()
            if question.text == "boom":
                raise RuntimeError("secret")
            yield await self.answer(question)
        finally:
            self.stopped.set()

    def told(self) -> "Teller":
        """Let it tell all of it without a pause."""
        self.more.set()
        self.over.set()
        return self
