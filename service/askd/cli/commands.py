"""The commands of the command line: their options, and the call of the code that does the work.

A command is built when it is needed, and imports its code when it runs, so that help is fast.
"""

import contextlib
import gc
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from askd import reload
from askd.cli import client_options, settings_help
from askd.cli.command_with_settings import (
    DEVELOPMENT_ENV_FILE,
    EnvironmentVariables,
    SettingsCommand,
    export_variables,
    print_to_stderr,
    warn_about_unknown_variables,
)
from askd.cli.settings_help import CONTEXT_SETTINGS
from askd.config import Settings, unknown_variables
from askd.config.environment import flag_name

_MAX_REPEAT: Final = 10_000
_MIN_REPORT_WIDTH: Final = 40


def _serve_command() -> click.Command:
    return SettingsCommand(
        "serve",
        _serve,
        "Serve ANSWERER over HTTP. Without ANSWERER, answer.py, main.py or a book in this directory is served, "
        "otherwise the built-in book.",
        short_help="Serve a function, graph or book over HTTP.",
        examples=(
            "askd serve main.py:answer --reload",
            "askd serve book.yaml --port 8080 --ops-port 9090",
            "askd serve graph.py:graph --host 0.0.0.0 --env-file production.env",
        ),
    )


def _dev_command() -> click.Command:
    return SettingsCommand(
        "dev",
        _serve,
        "Serve ANSWERER over HTTP, and restart when its code or .env changes: a short form of serve --reload.",
        short_help="Serve for development: serve --reload.",
        preset={"reload": "true"},
        common=[name for name in settings_help.COMMON_SETTINGS if name != "reload"],
        examples=("askd dev", "askd dev main.py:answer", "askd dev graph.py:graph -p 8080"),
    )


def _serve(settings: Settings, variables: EnvironmentVariables) -> int:
    if settings.reload and not reload.is_worker():
        from askd.reload.supervisor import supervise

        env_files = click.get_current_context().params["env_file"]
        return supervise(settings, env_files=[DEVELOPMENT_ENV_FILE, *env_files])
    export_variables(variables)
    gc.disable()  # imports create no garbage; the server enables the collector when it is ready
    if reload.is_worker():
        from askd.reload.worker import run
    else:
        from askd.process.server import run
    return run(settings, unknown=unknown_variables(variables))


def _ask_command() -> click.Command:
    accept = click.Option(
        ["--accept"], metavar="TYPE", help="Request this media type, and print the response body unchanged."
    )
    return click.Command(
        "ask",
        callback=_ask,
        params=[*client_options.client_params("Server to ask.", default=client_options.DEFAULT_URL, words=-1), accept],
        short_help="Ask a running server.",
        help="Ask a running server, and print the answer. QUESTION may be several words; - reads it from standard "
        "input. Exit codes: 1 if the server has no answer, 2 if the question is invalid, 3 if the server cannot be "
        "reached or fails.",
        context_settings=CONTEXT_SETTINGS,
    )


def _ask(
    *, question: str, name: str, params: Sequence[str], accept: str | None, as_json: bool, **connection: Any
) -> int:
    from askd.client.ask import print_answer, print_response_body
    from askd.client.errors import RequestFailed

    if as_json and accept is not None:
        raise click.UsageError("--json and --accept cannot be combined: remove one of them")
    stream = sys.stdout.isatty() and not as_json
    media_type = accept or ("text/event-stream, application/json;q=0.9" if stream else "application/json")
    target = client_options.build_target(**connection)
    request = client_options.build_request(question, params, media_type, name=name)
    send = print_response_body if as_json or accept else print_answer
    with client_options.reject_invalid_ca_file():
        try:
            send(target, request, client_options.write_stdout)
        except RequestFailed as error:
            return client_options.report_failure(error, as_json=as_json)
    return 0


def _explain_command() -> click.Command:
    return SettingsCommand(
        "explain",
        _explain,
        "Send a question, and show the duration of each step, from DNS to the last byte of the response. Without "
        "--url, ANSWERER is served in this process, with the settings that --help-all lists.",
        short_help="Measure the steps of a request.",
        own_params=[
            *client_options.client_params("Server to ask. Unset: ANSWERER, served in this process.", default=None),
            click.Option(
                ["--repeat", "-n"],
                type=click.IntRange(1, _MAX_REPEAT),
                default=1,
                metavar="NUMBER",
                help="Number of requests, sent one after another; shows percentiles and the responses of each replica.",
            ),
            click.Option(
                ["--keep-alive"], is_flag=True, help="Use one connection. By default, each request opens a new one."
            ),
        ],
        common=(),
        examples=(
            "askd explain hello --url localhost:2024",
            "askd explain hello --url https://answers.example.com --token-file token -n 100",
            "askd explain hello main.py:answer",
        ),
    )


def _explain(
    settings: Settings,
    variables: EnvironmentVariables,
    *,
    question: str,
    url: str | None,
    name: str,
    params: Sequence[str],
    as_json: bool,
    repeat: int,
    keep_alive: bool,
    **connection: Any,
) -> int:
    from askd.client import report
    from askd.client.request_measurement import measure_repeatedly

    if url is None:
        _reject_options("{} requires --url: add --url, or remove the option", ("token_file", "ca_file"))
        export_variables(variables)
        warn_about_unknown_variables(variables)
    else:
        message = "{} cannot be combined with --url, which uses a running server: remove one of them"
        _reject_options(message, ("spec", *vars(settings), "env_file"))
    request = client_options.build_request(question, params, name=name)

    def measure(url: str) -> Any:
        target = client_options.build_target(url=url, **connection)
        return measure_repeatedly(target, request, repeat=repeat, keep_alive=keep_alive)

    # The output of an answerer in this process is redirected: stdout is for the report.
    with client_options.reject_invalid_ca_file(), contextlib.redirect_stdout(sys.stderr):
        if url is None:
            from askd.client.in_process_server import run_with_server

            measurements, failures = run_with_server(settings, measure)
        else:
            measurements, failures = measure(url)
    unanswered = [failure for failure in failures if failure.status is None]
    if as_json:
        click.echo(report.to_json(measurements, unanswered))
    else:
        lines = report.render(question, measurements, unanswered)
        client_options.write_stdout("".join(f"{line}\n" for line in lines))
    if any(measurement.status == 200 for measurement in measurements):
        return 0
    return failures[0].exit_code if as_json else client_options.report_failure(failures[0], as_json=False)


def _reject_options(message: str, names: Sequence[str]) -> None:
    """Raise UsageError if one of these parameters is on the command line."""
    ctx = click.get_current_context()
    for name in names:
        if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(message.format("ANSWERER" if name == "spec" else flag_name(name)))


def _check_command() -> click.Command:
    return SettingsCommand(
        "check",
        _check,
        "Validate the settings, load ANSWERER, and print the resulting configuration. Exit codes with --ask: 1 if "
        "there is no answer, 2 if the question is invalid, 3 if the answerer fails.",
        short_help="Validate settings and answerer without serving.",
        own_params=(
            click.Option(["--ask"], metavar="QUESTION", help="Ask this question, and report the answer or the error."),
        ),
        examples=(
            "askd check main.py:answer --ask hello",
            "askd check book.yaml --rate-limit 100/s",
            "askd check --env-file production.env",
        ),
    )


def _check(settings: Settings, variables: EnvironmentVariables, *, ask: str | None) -> int:
    from askd.cli.check_report import build_report

    _prepare_load(settings, variables)
    width = max(shutil.get_terminal_size().columns - 1, _MIN_REPORT_WIDTH)
    lines, exit_code = build_report(settings, ask)
    for line in lines:
        # Continuation lines are indented below the value.
        wrapped = textwrap.fill(line, width, subsequent_indent=" " * 15, break_on_hyphens=False)
        click.echo(wrapped if sys.stdout.isatty() else line)
    return exit_code


def _openapi_command() -> click.Command:
    return SettingsCommand(
        "openapi",
        _openapi,
        "Print the OpenAPI 3.1 document of ANSWERER as JSON.",
        short_help="Print the OpenAPI document as JSON.",
        examples=(
            "askd openapi main.py:answer > openapi.json",
            "askd openapi book.yaml --prefix /answers",
            "askd openapi main.py:answer | jq .paths",
        ),
    )


def _openapi(settings: Settings, variables: EnvironmentVariables) -> int:
    from askd.cli.openapi_document import build_openapi_json

    _prepare_load(settings, variables)
    click.echo(build_openapi_json(settings))
    return 0


def _prepare_load(settings: Settings, variables: EnvironmentVariables) -> None:
    from askd.telemetry import log_config

    export_variables(variables)
    warn_about_unknown_variables(variables)
    log_config.configure(settings.log_level, settings.log_format)


def _top_command() -> click.Command:
    return click.Command(
        "top",
        callback=_top,
        params=[
            click.Argument(["urls"], nargs=-1, required=True, metavar="URL…"),
            click.Option(
                ["--interval"],
                default="2s",
                show_default=True,
                metavar="DURATION",
                help="Time between two scrapes.",
            ),
            click.Option(
                ["--once"], is_flag=True, help="Scrape twice, print the rates of the interval in between, and exit."
            ),
            client_options.ca_file_option(),
        ],
        short_help="Watch rates, latencies and queues of servers.",
        help="Watch servers by their /metrics. On a terminal the display is refreshed in place; otherwise one line is "
        "written for each server and interval. URL is that of the ops port, if there is one. Ctrl-C ends the command.",
        context_settings=CONTEXT_SETTINGS,
    )


def _top(*, urls: Sequence[str], interval: str, once: bool, ca_file: str | None) -> int:
    from askd.client.target import parse_url
    from askd.top.watch import WatchedServer, print_continuously, print_once

    seconds = client_options.parse_duration(interval, "--interval", low=0.1, high=3600.0)
    try:
        servers = [WatchedServer(parse_url(url), ca_file) for url in urls]
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    return (print_once if once else print_continuously)(servers, seconds)


def _token_command() -> click.Command:
    return click.Command(
        "token",
        callback=_token,
        params=[click.Argument(["name"])],
        short_help="Create a token for a client.",
        help="Create a token for the client NAME. The line for --tokens-file is written to standard output, the token "
        "to standard error: `askd token alice >> tokens` appends the line and shows the token once.",
        context_settings=CONTEXT_SETTINGS,
    )


def _token(name: str) -> int:
    from askd.guards.tokens import generate_token

    try:
        token, line = generate_token(name)
    except ValueError as error:
        raise click.BadParameter(f"{error}.", param_hint="NAME") from None
    if sys.stderr.isatty():
        print_to_stderr(f"token of {name}, shown only once; send it as `Authorization: Bearer TOKEN`:")
    click.echo(token, err=True)
    if sys.stdout.isatty():
        print_to_stderr("line for --tokens-file:")
    click.echo(line)
    return 0


def _init_command() -> click.Command:
    return click.Command(
        "init",
        callback=_init,
        params=[
            click.Argument(["folder"], default=".", metavar="[DIR]", type=click.Path()),
            click.Option(
                ["--image"], default="askd", show_default=True, help="Base image of the project's Dockerfile."
            ),
            click.Option(
                ["--chart"],
                help="askd's Helm chart: a folder or an oci:// URL.  [default: a copy of it in chart/]",
            ),
        ],
        short_help="Create a project with a function, test and Dockerfile.",
        help="Create a project in DIR: a function with a test, a Dockerfile, chart values and a skaffold "
        "configuration.",
        context_settings=CONTEXT_SETTINGS,
    )


def _init(*, folder: str, image: str, chart: str | None) -> int:
    from askd import scaffold

    for name in scaffold.write_scaffold(Path(folder), image=image, chart=chart):
        click.echo(f"wrote {Path(folder) / name}")
    click.echo("\n    ".join(["\nNext:\n", *scaffold.next_steps(Path(folder))]))
    return 0


def _book_command() -> click.Command:
    from askd.cli.book_test_command import command

    return command


def _mcp_config_command() -> click.Command:
    from askd.cli.mcp_config import command

    return command()


COMMANDS: Final[dict[str, Callable[[], click.Command]]] = {
    "serve": _serve_command,
    "dev": _dev_command,
    "ask": _ask_command,
    "explain": _explain_command,
    "check": _check_command,
    "book": _book_command,
    "openapi": _openapi_command,
    "mcp-config": _mcp_config_command,
    "top": _top_command,
    "token": _token_command,
    "init": _init_command,
}
"""Function that builds each command, in the order of the help."""
