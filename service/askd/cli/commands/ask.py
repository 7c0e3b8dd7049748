"""`askd ask`."""

import sys
from collections.abc import Sequence

import click

from askd.cli import client_options
from askd.cli.settings_help import CONTEXT_SETTINGS


def _run_ask(
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
    import asyncio  # noqa: PLC0415 - not needed for help

    if as_json and accept is not None:
        raise click.UsageError("--json and --accept cannot be combined: remove one of them")
    stream = sys.stdout.isatty() and not as_json
    media_type = accept or ("text/event-stream, application/json;q=0.9" if stream else "application/json")
    target = client_options.build_target(url=url, token_file=token_file, ca_file=ca_file, timeout=timeout)
    request = client_options.build_request(question, params, media_type)
    from askd.client.ask import print_answer, print_response_body  # noqa: PLC0415 - not needed for help
    from askd.client.errors import RequestFailed  # noqa: PLC0415 - not needed for help

    send = print_response_body if as_json or accept else print_answer
    try:
        asyncio.run(send(target, request, client_options.write_stdout))
    except RequestFailed as error:
        return client_options.report_failure(error, as_json=as_json)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="--ca-file") from None
    return 0


command = click.Command(
    "ask",
    callback=_run_ask,
    params=[
        client_options.question_argument(),
        *client_options.client_options("Server to ask.", default=client_options.DEFAULT_URL),
        click.Option(
            ["--accept"], metavar="TYPE", help="Request this media type, and print the response body unchanged."
        ),
    ],
    short_help="Ask a running server.",
    help="Ask a running server, and print the answer. If QUESTION is -, it is read from standard input. Exit codes: 1 "
    "if the server has no answer, 2 if the question is invalid, 3 if the server cannot be reached or fails.",
    context_settings=CONTEXT_SETTINGS,
)
