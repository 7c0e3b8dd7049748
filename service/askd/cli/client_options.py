"""What `ask` and `explain` share: whom to ask, as whom, and what a failure looks like."""

import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from service import units
from service.commands.base import complain

if TYPE_CHECKING:
    from service.client.failed import Failed
    from service.client.target import Target, Wanted

URL = "http://localhost:2024"


def options(url_help: str, *, default: str | None) -> list[click.Option]:
    """Return the options that both have."""
    return [
        click.Option(["--url"], metavar="URL", default=default, show_default=True, help=url_help),
        click.Option(
            ["--param", "-p", "params"],
            multiple=True,
            metavar="NAME=VALUE",
            help="A parameter of the question, as /docs lists them; may be given several times.",
        ),
        click.Option(
            ["--token-file"], metavar="FILE", type=click.Path(), help="Ask with the token in FILE. No other place."
        ),
        click.Option(
            ["--ca-file"], metavar="FILE", type=click.Path(), help="Trust the CA in FILE (PEM), and no other."
        ),
        click.Option(
            ["--timeout"], metavar="DURATION", default="60s", show_default=True, help="Longest time for the whole."
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="Print all of it, as JSON."),
    ]


def question(ctx: click.Context, param: click.Parameter, value: str) -> str:  # noqa: ARG001 - as click calls it
    """Return the question; `-` reads it from standard input."""
    text = sys.stdin.read().strip() if value == "-" else value
    if not text.strip():
        raise click.BadParameter("it is empty: ask something.", param_hint="QUESTION")
    return text


def argument() -> click.Argument:
    """Return the argument that both have."""
    return click.Argument(["question"], metavar="QUESTION", callback=question)


def target(*, url: str, token_file: str | None, ca_file: str | None, timeout: str) -> "Target":
    """Return whom to ask. Raises BadParameter."""
    from service.client import target as read  # noqa: PLC0415 - not for help

    return read.Target(
        url=_read(read.address, url, "--url"),
        token=_read(read.token, token_file, "--token-file"),
        ca_file=ca_file,
        timeout=seconds(timeout),
    )


def seconds(text: str) -> float:
    """Read the time-out. Raises BadParameter."""
    return float(_read(units.duration(0.001, 86400.0), text, "--timeout", "give "))


def wanted(text: str, params: Sequence[str], accept: str = "application/json") -> "Wanted":
    """Return what to ask. Raises BadParameter."""
    from service.client import target as read  # noqa: PLC0415 - not for help

    return read.Wanted(text, [_read(read.parameter, each, "--param") for each in params], accept)


def _read(reader: Callable[[Any], Any], value: Any, hint: str, say: str = "") -> Any:
    try:
        return reader(value)
    except ValueError as fault:
        raise click.BadParameter(f"{say}{fault}.", param_hint=hint) from None


def failed(failure: "Failed", *, as_json: bool) -> int:
    """Say why there is no answer, for programs where they asked, and return the exit code."""
    if as_json:
        click.echo(json.dumps(failure.told(), indent=2, ensure_ascii=False))
    else:
        from service.client.text import shown  # noqa: PLC0415 - not for help

        complain(shown(failure.lines))
    return failure.code


def write(text: str) -> None:
    """Write a piece of text to standard output at once; at a terminal without what controls it."""
    if sys.stdout.isatty():
        from service.client.text import shown  # noqa: PLC0415 - not for help

        text = shown(text)
    click.echo(text, nl=False)
