"""`askd ask`."""

import sys
from collections.abc import Sequence

import click

from service.commands import asking
from service.commands.base import CONTEXT


def _ask(
    question: str,
    *,
    url: str,
    params: Sequence[str],
    token_file: str | None,
    ca_file: str | None,
    timeout: str,
    accept: str | None,
    as_json: bool,
) -> int:
    import asyncio  # noqa: PLC0415 - not for help

    if as_json and accept is not None:
        raise click.UsageError("--json and --accept both say what is printed: leave one of them out")
    streams = sys.stdout.isatty() and not as_json
    kind = accept or ("text/event-stream, application/json;q=0.9" if streams else "application/json")
    target = asking.target(url=url, token_file=token_file, ca_file=ca_file, timeout=timeout)
    wanted = asking.wanted(question, params, kind)
    from service.client.ask import ask, raw  # noqa: PLC0415 - not for help
    from service.client.failed import Failed  # noqa: PLC0415 - not for help

    try:
        asyncio.run((raw if as_json or accept else ask)(target, wanted, asking.write))
    except Failed as failure:
        return asking.failed(failure, as_json=as_json)
    except ValueError as fault:
        raise click.BadParameter(f"{fault}.", param_hint="--ca-file") from None
    return 0


command = click.Command(
    "ask",
    callback=_ask,
    params=[
        asking.argument(),
        *asking.options("The server to ask.", default=asking.URL),
        click.Option(["--accept"], metavar="TYPE", help="Ask for this media type, and print what comes as it is."),
    ],
    help="Ask a server, and print its answer. QUESTION - is read from standard input. Exits with 1 where there is no "
    "answer, 2 where the question is faulty, 3 where the server cannot be asked.",
    context_settings=CONTEXT,
)
