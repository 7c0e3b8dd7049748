"""`askd top`."""

import contextlib
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from service import units
from service.commands.base import CONTEXT

if TYPE_CHECKING:
    from service.top.watch import Server

UNREACHED = 3


@click.command(
    "top",
    help="Watch servers by their own /metrics: at a terminal refreshed in place, else a line for each server and "
    "interval. URL is where the metrics are: the ops port, where there is one. Ctrl-C ends it.",
    context_settings=CONTEXT,
)
@click.argument("urls", nargs=-1, required=True, metavar="URL…")
@click.option("--interval", default="2s", show_default=True, metavar="DURATION", help="From one look to the next.")
@click.option("--once", is_flag=True, help="Look twice, an interval apart, print what came between, and end.")
@click.option("--ca-file", metavar="FILE", type=click.Path(), help="Trust the CA in FILE (PEM), and no other.")
def command(*, urls: Sequence[str], interval: str, once: bool, ca_file: str | None) -> int:
    """Watch servers."""
    import asyncio  # noqa: PLC0415 - not for help

    from service.client.target import address  # noqa: PLC0415 - not for help
    from service.top.watch import Server  # noqa: PLC0415 - not for help

    try:
        every = units.duration(0.1, 3600.0)(interval)
    except ValueError as fault:
        raise click.BadParameter(f"give {fault}.", param_hint="--interval") from None
    try:
        servers = [Server(address(url), ca_file) for url in urls]
    except ValueError as fault:
        raise click.UsageError(f"{fault}.") from None
    try:
        return asyncio.run(_once(servers, every) if once else _watch(servers, every))
    except KeyboardInterrupt:
        if once:  # nothing was said yet
            raise
        if sys.stdout.isatty():
            click.echo()  # the next prompt goes below
        return 0


async def _once(servers: Sequence["Server"], every: float) -> int:
    from service.top.watch import looks, table  # noqa: PLC0415 - not for help

    async with contextlib.aclosing(looks(servers, every)) as times:
        await anext(times)
        await anext(times)
    click.echo("\n".join(table(servers)))
    return 0 if any(server.seen.sample for server in servers) else UNREACHED


async def _watch(servers: Sequence["Server"], every: float) -> int:
    """Show for ever. The first look in a pipe is not told: nothing can be said of what came before it."""
    from service.top.watch import CLEAR, PATIENCE, looks, screen, table  # noqa: PLC0415 - not for help

    terminal, first = sys.stdout.isatty(), True
    async with contextlib.aclosing(looks(servers, every, patience=PATIENCE)) as times:
        async for _ in times:
            if terminal:
                click.echo((CLEAR if first else "") + screen(servers, *shutil.get_terminal_size()), nl=False)
            elif first:
                click.echo(table(servers)[0])
            else:
                click.echo("\n".join(table(servers)[1:]))
            first = False
    return 0
