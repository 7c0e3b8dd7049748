"""Options, parsing and output that `ask` and `explain` share."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from askd.cli.command_with_settings import print_to_stderr
from askd.config import fields

if TYPE_CHECKING:
    from askd.client.errors import RequestFailed
    from askd.client.target import OutgoingRequest, ServerTarget

DEFAULT_URL = "http://localhost:2024"


def client_params(url_help: str, *, default: str | None, words: int = 1) -> list[click.Parameter]:
    """Return the parameters that `ask` and `explain` share.

    Args:
        url_help: Help of --url.
        default: Default of --url.
        words: Number of arguments that make up the question; -1 takes all.
    """
    return [
        click.Argument(["question"], nargs=words, required=True, metavar="QUESTION", callback=_read_question),
        click.Option(["--url"], metavar="URL", default=default, show_default=True, help=url_help),
        click.Option(["--name"], default="", metavar="NAME", help="Answerer to ask, if the server has several."),
        click.Option(
            ["--param", "-p", "params"],
            multiple=True,
            metavar="NAME=VALUE",
            help="Parameter of the question; repeat the option for several. /docs lists the parameters.",
        ),
        click.Option(["--token-file"], metavar="FILE", type=click.Path(), help="Authenticate with the token in FILE."),
        ca_file_option(),
        click.Option(
            ["--timeout"],
            metavar="DURATION",
            default="60s",
            show_default=True,
            help="Maximum time for a request, response included.",
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="Print the whole response as JSON."),
    ]


def ca_file_option() -> click.Option:
    """Return `--ca-file`."""
    return click.Option(
        ["--ca-file"], metavar="FILE", type=click.Path(), help="Trust only the CA certificates in FILE (PEM)."
    )


def _read_question(ctx: click.Context, param: click.Parameter, value: str | Sequence[str]) -> str:  # noqa: ARG001 - as click calls it
    """Return the question; `-` reads it from standard input. Raises BadParameter if it is empty."""
    text = value if isinstance(value, str) else " ".join(value)
    text = sys.stdin.read().strip() if text == "-" else text
    if not text.strip():
        raise click.BadParameter("the question is empty.", param_hint="QUESTION")
    return text


def build_target(*, url: str, token_file: str | None, ca_file: str | None, timeout: str) -> "ServerTarget":
    """Return the server to send requests to. Raises BadParameter."""
    from askd.client import target  # noqa: PLC0415 - not needed for help

    return target.ServerTarget(
        url=_parse_option(target.parse_url, url, "--url"),
        token=_parse_option(target.read_token_file, token_file, "--token-file"),
        ca_file=ca_file,
        timeout=parse_duration(timeout, "--timeout", low=0.001, high=86400.0),
    )


@contextlib.contextmanager
def reject_invalid_ca_file() -> Iterator[None]:
    """Raise BadParameter if a client session cannot use the CA file."""
    try:
        yield
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="--ca-file") from None


def parse_duration(text: str, option: str, *, low: float, high: float) -> float:
    """Return a duration from `low` to `high` in seconds. Raises BadParameter."""
    try:
        return fields.duration(low, high)(text)
    except ValueError as error:
        raise click.BadParameter(f"expected {error}.", param_hint=option) from None


def build_request(
    text: str, params: Sequence[str], accept: str = "application/json", *, name: str = ""
) -> "OutgoingRequest":
    """Return the request for a question to the answerer with this name. Raises BadParameter."""
    from askd.client import target  # noqa: PLC0415 - not needed for help

    parameters = [_parse_option(target.parse_parameter, param, "--param") for param in params]
    return target.OutgoingRequest(text, parameters, accept, name)


def _parse_option(parse: Callable[[Any], Any], value: Any, option: str) -> Any:
    try:
        return parse(value)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint=option) from None


def report_failure(failure: "RequestFailed", *, as_json: bool) -> int:
    """Print a failure to standard error, or as JSON to standard output, and return the exit code."""
    if as_json:
        click.echo(json.dumps(failure.to_dict(), indent=2, ensure_ascii=False))
    else:
        from askd.client.terminal_text import replace_control_characters  # noqa: PLC0415 - not needed for help

        print_to_stderr(replace_control_characters(failure.message))
    return failure.exit_code


def write_stdout(text: str) -> None:
    """Write text to standard output without buffering; control characters are replaced on a terminal."""
    if sys.stdout.isatty():
        from askd.client.terminal_text import replace_control_characters  # noqa: PLC0415 - not needed for help

        text = replace_control_characters(text)
    click.echo(text, nl=False)
