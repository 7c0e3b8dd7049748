"""Loopback stand-in for model providers: the protocols of OpenAI and Anthropic, plain and streamed, without a model.

It echoes the last message of the user, calls a tool if it must or if that message contains `use NAME`, and fills the
schema of a structured output. `python -m tests.support.model_provider PORT` serves it for programs; set
`OPENAI_BASE_URL=http://127.0.0.1:PORT/v1` and `ANTHROPIC_BASE_URL=http://127.0.0.1:PORT`, with any API keys.
"""

import asyncio
import contextlib
import dataclasses
import json
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Final

from aiohttp import web

EMBEDDING_DIMENSIONS: Final = 1536


@dataclasses.dataclass(frozen=True)
class Reply:
    """The reply of the model: a text, or calls of tools as (name, arguments)."""

    text: str = ""
    tool_calls: Sequence[tuple[str, Mapping[str, Any]]] = ()


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A request of either protocol."""

    last_user_text: str
    has_tool_result: bool
    """Whether the last message is the result of a tool."""
    tools: Mapping[str, Mapping[str, Any]]
    """The JSON Schema of each tool's arguments."""
    forced_tool: str | None
    """The tool that must be called, `*` for any."""
    output_schema: Mapping[str, Any] | None


@web.middleware
async def _close_connection(request: web.Request, handler: Any) -> web.StreamResponse:
    """Close each connection after its response: the providers' clients keep theirs open beyond the end of a test."""
    response: web.StreamResponse = await handler(request)
    response.force_close()
    return response


class ModelProvider:
    """Replies to chat requests and records them."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.replies: list[Reply] = []
        """Replies to the next requests; by default they depend on the request."""
        self.values: dict[str, Any] = {}
        """Values of structured outputs and tool arguments by the name of the property."""
        self.continue_stream = asyncio.Event()
        """A stream pauses after its first part until this is set."""
        self.continue_stream.set()

    def app(self) -> web.Application:
        """Return an app with the routes of both protocols."""
        app = web.Application(client_max_size=16 << 20, middlewares=[_close_connection])
        app.router.add_post("/v1/chat/completions", self._openai_chat)
        app.router.add_post("/v1/embeddings", self._openai_embeddings)
        app.router.add_post("/v1/messages", self._anthropic_messages)
        return app

    def _reply(self, prompt: Prompt) -> Reply:
        return self.replies.pop(0) if self.replies else default_reply(prompt, self.values)

    async def _openai_chat(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        reply = self._reply(parse_openai_prompt(body))
        envelope = {"id": f"chatcmpl-{len(self.requests)}", "created": 0, "model": body.get("model", "")}
        if not body.get("stream"):
            return web.json_response(envelope | {"object": "chat.completion"} | openai_completion(reply))
        parts = [
            f"data: {json.dumps(envelope | {'object': 'chat.completion.chunk'} | chunk)}\n\n"
            for chunk in openai_chunks(reply)
        ]
        return await self._stream(request, [*parts, "data: [DONE]\n\n"])

    async def _openai_embeddings(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.requests.append(body)
        inputs = body["input"] if isinstance(body["input"], list) else [body["input"]]
        vector = [1.0] + [0.0] * (EMBEDDING_DIMENSIONS - 1)
        data = [{"object": "embedding", "index": index, "embedding": vector} for index in range(len(inputs))]
        usage = {"prompt_tokens": 1, "total_tokens": 1}
        return web.json_response({"object": "list", "data": data, "model": body.get("model", ""), "usage": usage})

    async def _anthropic_messages(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        self.requests.append(body)
        message = anthropic_message(self._reply(parse_anthropic_prompt(body)), f"msg_{len(self.requests)}")
        if not body.get("stream"):
            return web.json_response(message)
        return await self._stream(
            request, [f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in anthropic_events(message)]
        )

    async def _stream(self, request: web.Request, parts: Sequence[str]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        response.force_close()
        await response.prepare(request)
        text_parts = 0
        for part in parts:
            if text_parts == 1:
                await self.continue_stream.wait()
            await response.write(part.encode())
            text_parts += '"text_delta"' in part or ('"content": "' in part and '"content": ""' not in part)
        return response


def default_reply(prompt: Prompt, values: Mapping[str, Any]) -> Reply:
    """Return the reply of a model that does as it is told and knows nothing."""
    if prompt.output_schema is not None:
        return Reply(json.dumps(sample_value(prompt.output_schema, values)))
    tool = prompt.forced_tool
    if tool == "*":
        tool = list(prompt.tools)[-1]
    if tool is None and not prompt.has_tool_result:
        tool = next((name for name in prompt.tools if f"use {name}" in prompt.last_user_text), None)
    if tool is not None:
        return Reply(tool_calls=[(tool, sample_value(prompt.tools[tool], values))])
    return Reply(f"You said: {prompt.last_user_text}")


def sample_value(schema: Mapping[str, Any], values: Mapping[str, Any], root: Mapping[str, Any] | None = None) -> Any:
    """Return a value that the JSON Schema accepts; `values` has those of properties by name."""
    root = schema if root is None else root
    if "$ref" in schema:
        return sample_value(_resolve_reference(schema["$ref"], root), values, root)
    choices = [part for keyword in ("anyOf", "allOf", "oneOf") for part in schema.get(keyword, ())]
    if choices:
        return sample_value(choices[0], values, root)
    if "const" in schema or "enum" in schema:
        return schema.get("const", (schema.get("enum") or [None])[0])
    if schema.get("type") == "object":
        properties = schema.get("properties", {}).items()
        return {name: values.get(name, sample_value(inner, values, root)) for name, inner in properties}
    if schema.get("type") == "array":
        return [sample_value(schema.get("items", {}), values, root)] * max(schema.get("minItems", 1), 1)
    number = schema.get("minimum", 0)
    return {"integer": number, "number": number, "boolean": True, "null": None}.get(schema.get("type", ""), "text")


def _resolve_reference(reference: str, root: Mapping[str, Any]) -> Mapping[str, Any]:
    target: Any = root
    for key in reference.removeprefix("#/").split("/"):
        target = target[key]
    return dict(target)


def parse_openai_prompt(body: Mapping[str, Any]) -> Prompt:
    """Return the prompt in a request to `/v1/chat/completions`."""
    tools = {tool["function"]["name"]: tool["function"].get("parameters", {}) for tool in body.get("tools") or ()}
    choice, response_format = body.get("tool_choice"), body.get("response_format") or {}
    forced = choice["function"]["name"] if isinstance(choice, dict) else "*" if choice in {"required", "any"} else None
    schema = response_format.get("json_schema", {}).get("schema") if response_format else None
    messages = body["messages"]
    return Prompt(_last_user_text(messages), messages[-1]["role"] == "tool", tools, forced, schema)


def parse_anthropic_prompt(body: Mapping[str, Any]) -> Prompt:
    """Return the prompt in a request to `/v1/messages`."""
    tools = {tool["name"]: tool.get("input_schema", {}) for tool in body.get("tools") or ()}
    choice = body.get("tool_choice") or {}
    forced = {"tool": choice.get("name"), "any": "*"}.get(choice.get("type", ""))
    output_format = body.get("output_config", {}).get("format") or body.get("output_format") or {}
    messages = body["messages"]
    content = messages[-1]["content"]
    has_result = isinstance(content, list) and any(block.get("type") == "tool_result" for block in content)
    return Prompt(_last_user_text(messages), has_result, tools, forced, output_format.get("schema"))


def _last_user_text(messages: Sequence[Mapping[str, Any]]) -> str:
    texts = (_content_text(message.get("content")) for message in reversed(messages) if message["role"] == "user")
    return next((text for text in texts if text), "")


def _content_text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return " ".join(block["text"] for block in content or () if block.get("type") == "text")


def openai_completion(reply: Reply) -> dict[str, Any]:
    """Return the fields of a complete response."""
    message: dict[str, Any] = {"role": "assistant", "content": reply.text or None}
    if reply.tool_calls:
        message["tool_calls"] = list(_openai_tool_calls(reply))
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if reply.tool_calls else "stop"}
    return {"choices": [choice], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}


def openai_chunks(reply: Reply) -> Iterator[dict[str, Any]]:
    """Yield the chunks of a streamed response, one word each."""
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": word} for word in _words(reply.text)]
    deltas += [{"tool_calls": [call]} for call in _openai_tool_calls(reply)]
    for delta in deltas:
        yield {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    finish_reason = "tool_calls" if reply.tool_calls else "stop"
    yield {"choices": [{"index": 0, "delta": {}, "finish_reason": finish_reason}]}


def _openai_tool_calls(reply: Reply) -> Iterator[dict[str, Any]]:
    for index, (name, arguments) in enumerate(reply.tool_calls):
        function = {"name": name, "arguments": json.dumps(arguments)}
        yield {"index": index, "id": f"call_{name}_{index}", "type": "function", "function": function}


def anthropic_message(reply: Reply, message_id: str) -> dict[str, Any]:
    """Return a complete response."""
    content: list[dict[str, Any]] = [{"type": "text", "text": reply.text}] if reply.text else []
    content += [
        {"type": "tool_use", "id": f"toolu_{name}_{index}", "name": name, "input": arguments}
        for index, (name, arguments) in enumerate(reply.tool_calls)
    ]
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": "stand-in",
        "content": content,
        "stop_reason": "tool_use" if reply.tool_calls else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }


def anthropic_events(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the events of a streamed response, one word each."""
    yield {"type": "message_start", "message": {**message, "content": [], "stop_reason": None}}
    for index, block in enumerate(message["content"]):
        is_text = block["type"] == "text"
        start = {"type": "text", "text": ""} if is_text else {**block, "input": {}}
        yield {"type": "content_block_start", "index": index, "content_block": start}
        deltas = (
            [{"type": "text_delta", "text": word} for word in _words(block["text"])]
            if is_text
            else [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]
        )
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    stop = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 1}}
    yield {"type": "message_stop"}


def _words(text: str) -> list[str]:
    return [word for word in text.replace(" ", " \0").split("\0") if word]


@contextlib.asynccontextmanager
async def serve_model_provider(provider: ModelProvider, port: int = 0) -> AsyncIterator[str]:
    """Serve the provider on the loopback interface, on a free port by default, and yield its URL."""
    runner = web.AppRunner(provider.app())
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _main(port: int, values: str = "{}") -> None:
    provider = ModelProvider()
    provider.values = json.loads(values)
    async with serve_model_provider(provider, port) as url:
        sys.stdout.write(f"{url}\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), *sys.argv[2:]))
