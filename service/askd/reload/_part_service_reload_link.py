"""What supervisor and worker tell each other: a post at the worker's birth, then lines over a pair of sockets."""

import contextlib
import os
import socket
from functools import cache
from typing import Final, Literal

import msgspec

from service import reload
from service.settings import Settings

SWAP: Final = "swap"
"""The supervisor's word for: another has taken over, stop accepting now. Its other words are names of signals."""


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker is born with. Numbers are those of inherited files."""

    link: int
    listeners: list[int]
    ops_listeners: list[int] | None
    """None: the ops endpoints have no port of their own."""
    takes_over: bool
    """Whether another serves meanwhile, so that this one need not before its load is over."""
    settings: Settings
    """Those that the supervisor started with."""
    fault: str | None
    """Why there is nothing to load, in one line; None: load as ever."""


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker says.

    It serves, well or with a `fault`; it has imported from `folders`; it has left, and accepts no more; or it refuses
    to start at all, for a `fault`.
    """

    event: Literal["serves", "imported", "left", "refuses"]
    fault: str = ""
    folders: list[str] = []
    """Where the user's code lies: askd's, Python's and installed packages are left out."""


class Link:
    """The worker's end."""

    def __init__(self, post: Post) -> None:
        self.post = post
        self.socket = _adopted(post.link)

    def tell(self, said: Said) -> None:
        """Tell the supervisor, where there still is one."""
        with contextlib.suppress(OSError):
            self.socket.sendall(msgspec.json.encode(said) + b"\n")

    def heard(self) -> list[str]:
        """Return the supervisor's words, once there are some; none: it has ended, with a reset where it left ours."""
        try:
            return self.socket.recv(256).decode().split()
        except ConnectionError:
            return []

    def listeners(self) -> list[socket.socket]:
        """Return the sockets for questions."""
        return [_adopted(number) for number in self.post.listeners]

    def ops_listeners(self) -> list[socket.socket] | None:
        """Return the sockets of the ops port; None: it has none."""
        return None if self.post.ops_listeners is None else [_adopted(number) for number in self.post.ops_listeners]


def _adopted(number: int) -> socket.socket:
    os.set_inheritable(number, False)  # what the user's code starts must not hold the port
    adopted = socket.socket(fileno=number)
    adopted.setblocking(False)
    return adopted


@cache
def current() -> Link:
    """Return this process's link. Raises ValidationError where it is no worker."""
    return Link(msgspec.json.decode(reload.post or "", type=Post))
