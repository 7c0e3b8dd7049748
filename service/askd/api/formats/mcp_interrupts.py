"""Interrupts of graphs in MCP: the request for input, and the state with which the client continues the call.

The state names the thread. It passes through the client, so it is signed: nobody can continue a thread without having
been asked, with another token, or after an hour. It can be used more than once, as a reply in a thread can.
"""

import base64
import hashlib
import hmac
import secrets
from time import time
from typing import Any, Final

import msgspec

from askd.errors import Interrupted

REPLY_KEY: Final = "reply"
"""Name of the input request, and of its only field."""
STATE_LIFETIME: Final = 3600
"""Seconds for which a client may reply."""
_SIGNATURE_SIZE: Final = 32
_MESSAGE_KEYS: Final = ("question", "message", "prompt", "description")
"""Fields of an interrupt that hold its text, in the order in which they are tried."""


class CallState(msgspec.Struct, array_like=True):
    """An interrupted call."""

    tool: str
    caller: str
    """Name of the client's token; empty without authentication."""
    thread: str
    thread_is_temporary: bool
    """Whether the thread was made for this call, and ends with it."""
    message: str
    """What the graph asks for."""
    expires_at: int
    """Unix time in seconds."""


class StateSigner:
    """Signs states with HMAC-SHA256. `key` is the secret that replicas share; None makes one for this process."""

    def __init__(self, key: str | None) -> None:
        self._key = hashlib.sha256(key.encode()).digest() if key else secrets.token_bytes(32)

    def sign(self, tool: str, caller: str, thread: str, message: str, *, thread_is_temporary: bool) -> str:
        """Return the state as text that a client can neither change nor make."""
        state = CallState(tool, caller, thread, thread_is_temporary, message, int(time()) + STATE_LIFETIME)
        payload = msgspec.json.encode(state)
        return base64.urlsafe_b64encode(self._signature(payload) + payload).decode()

    def verify(self, text: str, tool: str, caller: str) -> CallState | None:
        """Return the state; None if it is not one of this server, of this tool and caller, or has expired."""
        try:
            data = base64.b64decode(text, altchars=b"-_", validate=True)
            signature, payload = data[:_SIGNATURE_SIZE], data[_SIGNATURE_SIZE:]
            if not hmac.compare_digest(signature, self._signature(payload)):
                return None
            state = msgspec.json.decode(payload, type=CallState)
        except ValueError:  # not Base64, or a payload of another version
            return None
        return state if (state.tool, state.caller) == (tool, caller) and state.expires_at > time() else None

    def _signature(self, payload: bytes) -> bytes:
        return hmac.digest(self._key, b"askd mcp state\0" + payload, "sha256")


def interrupt_message(error: Interrupted) -> str:
    """Return what the graph asks for, as text: a text, a text field of an object, or JSON."""
    value = error.extensions.get("interrupt")
    if isinstance(value, dict):
        value = next((value[key] for key in _MESSAGE_KEYS if isinstance(value.get(key), str)), value)
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def input_request(message: str) -> dict[str, Any]:
    """Return the `inputRequests` of an interrupt: a form with one text."""
    schema = {
        "type": "object",
        "properties": {REPLY_KEY: {"type": "string", "title": "Reply"}},
        "required": [REPLY_KEY],
    }
    parameters = {"mode": "form", "message": message, "requestedSchema": schema}
    return {REPLY_KEY: {"method": "elicitation/create", "params": parameters}}


def parse_reply(responses: Any) -> tuple[str, str | None]:
    """Return the user's action (`accept`, `decline`, `cancel`, empty if it is missing) and the reply, or None."""
    response = responses.get(REPLY_KEY) if isinstance(responses, dict) else None
    if not isinstance(response, dict):
        return "", None
    action, content = response.get("action"), response.get("content")
    reply = content.get(REPLY_KEY) if isinstance(content, dict) else None
    if action not in {"accept", "decline", "cancel"} or (action == "accept" and not isinstance(reply, str)):
        return "", None
    return action, reply
