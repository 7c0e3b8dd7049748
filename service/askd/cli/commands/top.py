"""`askd top`."""

import contextlib
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from askd.cli.client_options import parse_duration
from askd.cli.settings_help import CONTEXT_SETTINGS

if TYPE_CHECKING:
    from askd.top.watch import WatchedServer

EXIT_UNREACHABLE = 3


@click.command(
    "top",
    short_help="Watch rates, latencies and queues of servers.",
    help="Watch servers by their /metrics. On a terminal the display is refreshed in place; otherwise one line is "
    "written for each server and interval. URL is that of the ops port, if there is one. Ctrl-C ends the command.",
    context_settings=CONTEXT_SETTINGS,
)
@click.argument("urls", nargs=-1, required=True, metavar="URL…")
@click.option("--interval", default="2s", show_default=True, metavar="DURATION", help="Time between two scrapes.")
@click.option("--once", is_flag=True, help="Scrape twice, print the rates of the interval in between, and exit.")
@click.option("--ca-file", metavar="FILE", type=click.Path(), help="Trust only the CA certificates in FILE (PEM).")
def command(*, urls: Sequence[str], interval: str, once: bool, ca_file: str | None) -> int:
    """Watch servers."""
    import asyncio  # noqa: PLC0415 - not needed for help

    from askd.client.target import parse_url  # noqa: PLC0415 - not needed for help
    from askd.top.watch import WatchedServer  # noqa: PLC0415 - not needed for help

    seconds = parse_duration(interval, "--interval", low=0.1, high=3600.0)
    try:
        servers = [WatchedServer(parse_url(url), ca_file) for url in urls]
    except ValueError as error:
        raise click.UsageError(f"{error}.") from None
    try:
        return asyncio.run(_print_once(servers, seconds) if once else _print_continuously(servers, seconds))
    except KeyboardInterrupt:
        if once:  # nothing was printed yet
            raise
        if sys.stdout.isatty():
            click.echo()  # puts the shell's prompt below the display
        return 0


async def _print_once(servers: Sequence["WatchedServer"], interval: float) -> int:
    from askd.top.watch import render_table, scrape_periodically  # noqa: PLC0415 - not needed for help

    async with contextlib.aclosing(scrape_periodically(servers, interval)) as scrapes:
        await anext(scrapes)
        await anext(scrapes)
    click.echo("\n".join(render_table(servers)))
    return 0 if any(server.status.snapshot for server in servers) else EXIT_UNREACHABLE


async def _print_continuously(servers: Sequence["WatchedServer"], interval: float) -> int:
    """Print after each scrape until cancelled. Lines start after the second scrape: rates need two."""
    from askd.top.watch import (  # noqa: PLC0415 - not needed for help
        CLEAR_SCREEN,
        REFRESH_TIMEOUT,
        render_screen,
        render_table,
        scrape_periodically,
    )

    terminal, first = sys.stdout.isatty(), True
    async with contextlib.aclosing(scrape_periodically(servers, interval, scrape_timeout=REFRESH_TIMEOUT)) as scrapes:
        async for _ in scrapes:
            if terminal:
                screen = render_screen(servers, *shutil.get_terminal_size())
                click.echo((CLEAR_SCREEN if first else "") + screen, nl=False)
            elif first:
                click.echo(render_table(servers)[0])
            else:
                click.echo("\n".join(render_table(servers)[1:]))
            first = False
    return 0
