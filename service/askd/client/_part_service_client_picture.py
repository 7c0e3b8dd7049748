"""An exchange as a timeline: a line for each step, its bar where it stood in time. 80 columns."""

from collections.abc import Iterator
from typing import Final

from service.client.exchange import Exchange, Step
from service.client.text import cut

WIDTH: Final = 79
_NAME: Final = 11
_BAR: Final = 34
_TIME: Final = 11
_NOTE: Final = WIDTH - _NAME - _BAR - _TIME - 2
FULL: Final = "█"
SHADED: Final = "▒"
"""For what is the server's part of the waiting, and the network's."""


def picture(question: str, exchange: Exchange) -> Iterator[str]:
    """Yield the lines: what was asked and answered, the timeline, who answered."""
    answer = f"{exchange.status}" if exchange.answer is None else exchange.answer
    yield cut(f"{question} → {answer}", WIDTH)
    yield ""
    for step in exchange.steps:
        yield line(step, exchange)
    yield f"{'total':<{_NAME}}{'':<{_BAR}}{seconds(exchange.seconds):>{_TIME}}"
    yield ""
    yield from facts(exchange)


def facts(exchange: Exchange) -> Iterator[str]:
    """Yield who answered and how it was reached, what caches say, and under which id the log has the exchange."""
    names = ", ".join(exchange.addresses)
    found = {
        "asked": exchange.url,
        "found at": names if len(exchange.addresses) > 1 else "",
        "answered by": " at ".join(filter(None, (exchange.served_by, exchange.address))),
        "with": f"status {exchange.status}, {exchange.protocol}",
        "cache": exchange.cache,
        "id": exchange.id,
    }
    for label, text in found.items():
        if text:
            yield f"{label:<{_NAME}} {cut(text, WIDTH - _NAME - 1)}"


def line(step: Step, exchange: Exchange) -> str:
    """Return one step: its name, its bar, how long it took, a note."""
    part = step.server or step.name == "network"
    name = f"  {step.name}" if part else step.name
    drawn = bar(step.began, step.seconds, exchange.seconds, SHADED if part else FULL)
    return f"{cut(name, _NAME) if not part else '  ' + cut(step.name, _NAME - 3):<{_NAME}}{drawn:<{_BAR}}" + (
        f"{seconds(step.seconds):>{_TIME}}  {cut(_note(step, exchange), _NOTE)}".rstrip()
    )


def bar(began: float, length: float, whole: float, sign: str) -> str:
    """Return a bar, true to scale, of one sign at least, so that what took no time to speak of is seen as well."""
    scale = _BAR / whole if whole > 0 else 0.0
    start = min(int(began * scale), _BAR - 1)
    return " " * start + sign * max(min(round(length * scale), _BAR - start), 1)


def seconds(value: float) -> str:
    """Return a duration with three figures or a little more, from microseconds up."""
    if value < 0.001:
        return f"{value * 1e6:.0f} µs"
    return f"{value * 1e3:.2f} ms" if value < 1 else f"{value:.3f} s"


def _note(step: Step, exchange: Exchange) -> str:
    match step.name:
        case "name":
            count = len(exchange.addresses)
            return f"{count} address" + ("es" if count != 1 else "")
        case "connect":
            return exchange.address
        case "TLS":
            return exchange.protocol.partition(" over ")[2]
        case "request":
            return f"{exchange.sent:,} bytes"
        case "answer":
            return f"{exchange.received:,} bytes"
    return ""
