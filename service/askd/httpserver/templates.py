"""Forms and frames: responses that differ from one another in little, cut from one that was rendered."""

import re
from typing import Final, NamedTuple

from service.web import wire

_CACHE: Final = re.compile(rb"(.*\r\n)Cache-Status: [^\r]*\r\nAge: [^\r]*\r\n(.*)", re.DOTALL)
_REST: Final = re.compile(
    rb"(.*\r\nX-Request-Id: )[^\r]*(\r\nServer-Timing: )[^\r]*(\r\n.*\r\nDate: )[^\r]*(.*)", re.DOTALL
)
_LENGTH: Final = re.compile(rb"(?<=\r\nContent-Length: )\d+")
_END: Final = b"\r\n\r\n"


class Form(NamedTuple):
    """A whole response but for id, times and date, in the parts between them.

    Their order is that in which `Observer.put_on` and `wire.written` write.
    """

    start: bytes
    """Up to what the cache says, where it says something."""
    head: bytes
    timing: bytes
    date: bytes
    rest: tuple[bytes, ...]
    """What follows the date; the id stands between the parts."""

    def fill(self, id: str, timing: str, cache: bytes = b"") -> bytes:
        """Return the response of an exchange; `cache` has the lines that the cache says of it."""
        name = id.encode()
        rest = self.rest[0] if len(self.rest) == 1 else name.join(self.rest)
        start, head, before, after, _ = self
        return b"".join((start, cache, head, name, before, timing.encode(), after, wire.date_bytes(), rest))


class Frame(NamedTuple):
    """A response but for id, times, date and body, in the parts between them."""

    head: bytes
    timing: bytes
    length: bytes
    date: bytes

    def fill(self, id: str, timing: str, body: bytes) -> bytes:
        """Return the response of an exchange."""
        head, before, length, date = self
        size = b"%d" % len(body)
        return b"".join((head, id.encode(), before, timing.encode(), length, size, date, wire.date_bytes(), _END, body))


def frame(data: bytes) -> Frame:
    """Cut a frame out of a response that stays open. Raises ValueError for what is no response of askd's."""
    found = _REST.fullmatch(data.partition(_END)[0])
    if found is None:
        raise ValueError(f"not a response of askd's: {data!r}")
    head, timing, last, _ = found.groups()
    length = _LENGTH.search(last)
    if length is None:
        raise ValueError(f"a response without a length: {data!r}")
    return Frame(head, timing, last[: length.start()], last[length.end() :])


def cut(data: bytes, *, id: str | None = None, length: int = 0) -> Form:
    """Cut a form out of a response. `id`: that of its exchange, where the body has it, too; None: it has none.

    Then the form is for ids of so many characters, as the body's length stands in it. Raises ValueError for what is
    no response of askd's.
    """
    head, _, body = data.partition(_END)
    if id is not None:
        head = _LENGTH.sub(lambda found: b"%d" % (int(found[0]) + length - len(id)), head, count=1)
    found = _REST.fullmatch(head)
    if found is None:
        raise ValueError(f"not a response of askd's: {head!r}")
    first, timing, date, last = found.groups()
    cached = _CACHE.fullmatch(first)
    start, first = cached.groups() if cached else (b"", first)
    rest = last + _END + body
    return Form(start, first, timing, date, (rest,) if id is None else tuple(rest.split(id.encode())))
