"""`askd explain`."""

import contextlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import click
from click.core import ParameterSource

from askd.cli import client_options
from askd.cli.settings_command import (
    EnvironmentVariables,
    SettingsCommand,
    export_variables,
    warn_about_unknown_variables,
)
from askd.config import Settings
from askd.config.environment import flag_name

if TYPE_CHECKING:
    from askd.client.explain import ExplainReport
    from askd.client.target import OutgoingRequest, ServerTarget

_MAX_REPEAT: Final = 10_000


def _run_explain(
    settings: Settings,
    variables: EnvironmentVariables,
    *,
    question: str,
    url: str | None,
    params: Sequence[str],
    token_file: str | None,
    ca_file: str | None,
    timeout: str,
    as_json: bool,
    repeat: int,
    keep_alive: bool,
) -> int:
    target = None
    if url is None:
        _reject_client_options(token_file=token_file, ca_file=ca_file)
        export_variables(variables)
        warn_about_unknown_variables(variables)
    else:
        _reject_settings()
        target = client_options.build_target(url=url, token_file=token_file, ca_file=ca_file, timeout=timeout)
    request, seconds = client_options.build_request(question, params), client_options.parse_timeout(timeout)
    report = _measure(settings, target, request, timeout=seconds, repeat=repeat, keep_alive=keep_alive)
    if as_json:
        click.echo(report.to_json())
    else:
        client_options.write_stdout("".join(f"{line}\n" for line in report.iter_lines()))
    failure = report.failure
    if failure is None:
        return 0
    return failure.exit_code if as_json else client_options.report_failure(failure, as_json=False)


def _measure(
    settings: Settings,
    target: "ServerTarget | None",
    request: "OutgoingRequest",
    *,
    timeout: float,
    repeat: int,
    keep_alive: bool,
) -> "ExplainReport":
    """Measure requests. The output of an answerer in this process is redirected to stderr."""
    import asyncio  # noqa: PLC0415 - not needed for help

    import uvloop  # noqa: PLC0415 - not needed for help

    from askd.client.explain import measure_repeatedly, open_target  # noqa: PLC0415 - not needed for help

    async def measure() -> "ExplainReport":
        async with open_target(target, settings, timeout=timeout) as opened:
            return await measure_repeatedly(opened, request, repeat=repeat, keep_alive=keep_alive)

    with contextlib.redirect_stdout(sys.stderr), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(measure())
        except ValueError as error:
            raise click.BadParameter(f"{error}.", param_hint="--ca-file") from None


def _reject_client_options(**options: str | None) -> None:
    for name, value in options.items():
        if value is not None:
            raise click.UsageError(f"{flag_name(name)} requires --url: add --url, or remove the option")


def _reject_settings() -> None:
    """Raise UsageError if settings are combined with --url: a running server has its own."""
    ctx = click.get_current_context()
    own = {param.name for param in command.own_params}
    for name in ctx.params:
        if name not in own and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            shown = "ANSWERER" if name == "spec" else flag_name(name)
            raise click.UsageError(
                f"{shown} cannot be combined with --url, which uses a running server: remove one of them"
            )


command = SettingsCommand(
    "explain",
    _run_explain,
    "Send a question, and show the duration of each step, from DNS to the last byte of the response. Without --url, "
    "ANSWERER is served in this process, with the settings that --help-all lists.",
    short_help="Measure the steps of a request.",
    own_params=[
        client_options.question_argument(),
        *client_options.client_options("Server to ask. Unset: ANSWERER, served in this process.", default=None),
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
