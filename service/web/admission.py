"""Admission: who asks, and how often; settled before anything of a question is read.

First the token, for an unknown client must not use up a known one's rate; then the rate.
"""

from collections.abc import Awaitable, Mapping

from service.guards.tokens import Tokens
from service.telemetry.exchange import Exchange
from service.web.access import Access


class Admission:
    """Lets questions in. Without steps, everybody may ask, as often as they like. `tokens` None: nobody shows one."""

    def __init__(self, *, tokens: Tokens | None = None) -> None:
        self._access = None if tokens is None else Access(tokens)

    def admit(self, headers: Mapping[str, str], exchange: Exchange) -> Awaitable[None] | None:
        """Note on the exchange who asks. Raises Unauthorized or TooManyRequests.

        Returns what must be awaited before the question is in, which may raise the same; None: it is in.
        """
        if self._access is not None:
            self._access.enter(headers, exchange)
        return None
