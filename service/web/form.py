"""Forms: responses that differ from one another in id, times and date only, cut from one that was rendered."""

import re
from typing import Final, NamedTuple

from service.web import wire

_SLOTS: Final = (
    (re.compile(rb"(?<=\r\nX-Request-Id: )[^\r]*"), b"%(id)b"),
    (re.compile(rb"(?<=\r\nServer-Timing: )[^\r]*"), b"%(timing)b"),
    (re.compile(rb"(?<=\r\nDate: )[^\r]*"), b"%(date)b"),
)
_LENGTH: Final = re.compile(rb"(?<=\r\nContent-Length: )\d+")
_END: Final = b"\r\n\r\n"


class Form(NamedTuple):
    """A whole response with places for what differs. `length` is that of the body without an id, where it has one."""

    pattern: bytes
    length: int

    def fill(self, id: str, timing: str) -> bytes:
        """Return the response of an exchange."""
        name, date = id.encode(), wire.date().encode()
        return self.pattern % {
            b"id": name,
            b"timing": timing.encode(),
            b"date": date,
            b"length": self.length + len(name),
        }


def cut(data: bytes, *, id: str | None = None) -> Form:
    """Cut a form out of a response. `id`: that of its exchange, where the body has it, too; None: it has none."""
    head, _, body = data.partition(_END)
    head = head.replace(b"%", b"%%")
    for found, slot in _SLOTS:
        head = found.sub(slot, head, count=1)
    length = len(body)
    body = body.replace(b"%", b"%%")
    if id is not None:
        name = id.encode()
        body, length = body.replace(name, b"%(id)b"), length - len(name)
        head = _LENGTH.sub(b"%(length)d", head, count=1)
    return Form(head + _END + body, length)
