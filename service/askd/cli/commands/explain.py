"""`askd explain`."""

import contextlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from service.commands import asking
from service.commands.base import SettingsCommand, Variables, export, warn
from service.settings import Settings
from service.variables import flag_name

if TYPE_CHECKING:
    from service.client.explain import Report
    from service.client.target import Target, Wanted


def _explain(
    settings: Settings,
    variables: Variables,
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
        _refuse_client_options(token_file=token_file, ca_file=ca_file)
        export(variables)
        warn(variables)
    else:
        _refuse_settings()
        target = asking.target(url=url, token_file=token_file, ca_file=ca_file, timeout=timeout)
    wanted, limit = asking.wanted(question, params), asking.seconds(timeout)
    report = _measured(settings, target, wanted, timeout=limit, repeat=repeat, keep=keep_alive)
    if as_json:
        click.echo(report.json())
    else:
        asking.write("".join(f"{line}\n" for line in report.lines()))
    failure = report.failed
    if failure is None:
        return 0
    return failure.code if as_json else asking.failed(failure, as_json=False)


def _measured(
    settings: Settings, target: "Target | None", wanted: "Wanted", *, timeout: float, repeat: int, keep: bool
) -> "Report":
    """Measure, in this process where there is no target. What code prints there goes to stderr."""
    import asyncio  # noqa: PLC0415 - not for help

    import uvloop  # noqa: PLC0415 - not for help

    from service.client import explain  # noqa: PLC0415 - not for help

    async def measure() -> "Report":
        async with explain.asked(target, settings, within=timeout) as found:
            return await explain.explain(found, wanted, repeat=repeat, keep=keep)

    with contextlib.redirect_stdout(sys.stderr), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            return runner.run(measure())
        except ValueError as fault:
            raise click.BadParameter(f"{fault}.", param_hint="--ca-file") from None


def _refuse_client_options(**given: str | None) -> None:
    for name, value in given.items():
        if value is not None:
            raise click.UsageError(f"{flag_name(name)} is for a server: name it with --url, or leave the option out")


def _refuse_settings() -> None:
    """A server that runs has its own settings: those given here would do nothing."""
    ctx = click.get_current_context()
    own = {param.name for param in command.own}
    for name in ctx.params:
        if name not in own and ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            shown = "ANSWERER" if name == "spec" else flag_name(name)
            raise click.UsageError(
                f"{shown} is for an answerer in this process, and --url names a server: leave one out"
            )


command = SettingsCommand(
    "explain",
    _explain,
    "Ask, and show where the time goes, from the name to the answer's last byte. Without --url ANSWERER is served "
    "within this process.",
    params=[
        asking.argument(),
        *asking.options("The server to ask. Unset: ANSWERER, within this process.", default=None),
        click.Option(
            ["--repeat", "-n"],
            type=click.IntRange(1, 10_000),
            default=1,
            metavar="NUMBER",
            help="Ask so often, 1 to 10000, one after the other, and show percentiles, and who answered how often.",
        ),
        click.Option(
            ["--keep-alive"], is_flag=True, help="Ask all on one connection. Else each has its own, as new clients do."
        ),
    ],
)
