"""`LangGraph`: a LangGraph server as an answerer, over its plain HTTP contract; its own client is not needed."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from service.answerers import states
from service.answerers.deltas import Telling, Voices
from service.answerers.remote import assistants, faults, runs
from service.answerers.remote.address import Address
from service.answerers.remote.base import LOOK, Remote
from service.answerers.remote.reply import JSON, STREAM, Reply, loosely
from service.answerers.remote.upstream import Upstream
from service.errors import LoadError
from service.models import Answer, Contract, Question

_THREADS: Final = uuid5(NAMESPACE_URL, "tag:askd,thread")
"""What a thread's UUID is derived from together with its name; changing it loses every conversation."""


class LangGraph(Remote):
    """One assistant of a LangGraph server. `input_key` and `output_key` None: the state has `messages`."""

    kind = "langgraph"
    streams = True
    conversational = True

    def __init__(
        self,
        address: Address,
        upstream: Upstream,
        *,
        needed: bool = False,
        input_key: str | None = None,
        output_key: str | None = None,
    ) -> None:
        super().__init__(address, upstream, needed=needed)
        self.name = address.assistant or "langgraph"
        self._assistant = address.assistant
        self._input_key = input_key
        self._output_key = output_key
        self._voices = Voices(None)

    async def find(self) -> None:
        """Look for the assistant. Raises LoadError, which lists those that there are."""
        base = self.upstream.base
        until, query = self.upstream.until(LOOK), {"limit": assistants.AT_MOST}
        async with await self.upstream.send("POST", "/assistants/search", until=until, json=query) as reply:
            body = await reply.body()
        if reply.status in {401, 403}:
            raise LoadError(f"{base} wants a key, or another one: give a file that has it with --upstream-key-file")
        if 400 <= reply.status < 500 and reply.status != 429:
            ours = reply.headers.get("Server") == "askd"
            raise LoadError(
                f"{base} is no LangGraph server, it has no assistants" + (f": give ask+{base}" if ours else "")
            )
        if reply.status != 200:
            raise faults.of_status(reply.status, reply.headers)
        chosen = assistants.picked(loosely(body), self.address.assistant, base)
        if chosen.id != self._assistant:
            self._voices = Voices(None)
        self._assistant, self.name = chosen.id, chosen.name
        self.contract = Contract(summary=chosen.summary or Contract().summary)

    async def answer(self, question: Question) -> Answer:
        """Run the assistant and wait for its final state. Raises NoAnswer and other Problems."""
        async with await self._run(question, "wait", accept=JSON) as reply:
            state = await reply.json()
        return self._answer(state, question)

    async def stream(self, question: Question) -> AsyncGenerator[str | Answer, None]:
        """Yield the text as the answering node's model says it, then the state's answer. Leaving cancels the run."""
        telling, state = Telling(self._voices), None
        async with await self._run(question, "stream", accept=STREAM) as reply, aclosing(reply.events()) as events:
            async for event in events:
                if event.name == "messages":
                    if delta := runs.delta(telling, event.data):
                        yield delta
                elif event.name == "error":
                    state = {runs.ERROR: event.data}
                    break
                elif runs.is_state(event.name, event.data):
                    telling.step()
                    state = event.data
        answer = self._answer(state, question)
        if rest := telling.end(answer.text):
            yield rest
        yield answer

    async def _run(self, question: Question, way: str, *, accept: str) -> Reply:
        """Start a run; `way` is wait or stream. Raises Problem, for every status but success too."""
        until = self.upstream.due(question)
        await self.reached()
        thread = None if question.thread is None else thread_id(question.thread)
        asks = thread is not None and await self._asks(thread, question, until)
        given = (
            {"command": {"resume": question.text}} if asks else {"input": states.input_of(question, self._input_key)}
        )
        body = runs.body(self._assistant, given, thread=thread is not None, stream=way == "stream")
        path = f"/runs/{way}" if thread is None else f"/threads/{thread}/runs/{way}"
        reply = await self.upstream.send("POST", path, question=question, until=until, accept=accept, json=body)
        if reply.status == 200 and accept in {reply.media_type, JSON}:
            return reply
        async with reply:
            await self._refused(reply)
        raise faults.of_status(reply.status, reply.headers) if reply.status != 200 else faults.senseless()

    async def _asks(self, thread: UUID, question: Question, until: float) -> bool:
        """Whether the graph waits for an answer of ours in this thread: then the question is that answer."""
        async with await self.upstream.send("GET", f"/threads/{thread}", question=question, until=until) as reply:
            if reply.status == 404:
                return False
            if reply.status != 200:
                self.upstream.note("no state of the thread", status=reply.status)
                raise faults.of_status(reply.status, reply.headers)
            found = await reply.json()
        return isinstance(found, dict) and bool(found.get("interrupts"))

    async def _refused(self, reply: Reply) -> None:
        """Note why; where the assistant itself is unknown by now, it is looked up before the next question."""
        body = await reply.body()
        self.upstream.note("refused", status=reply.status, type=reply.media_type, said=runs.words_of(body))
        if reply.status in {404, 422} and not self.address.assistant:
            self.found = False

    def _answer(self, state: Any, question: Question) -> Answer:
        return runs.answer_of(self.upstream, state, question, self._output_key)


def thread_id(thread: str) -> UUID:
    """Return the UUID of a conversation: the same at every replica, and never one that another program made."""
    return uuid5(_THREADS, thread)
