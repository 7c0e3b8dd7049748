"""`askd token`."""

import sys

import click

from service.commands.base import CONTEXT, complain


@click.command(
    "token",
    help="Make a token for NAME. Its line for --tokens-file goes to standard output, the token itself to standard "
    "error: `askd token alice >> tokens` adds the line and shows the token, this once.",
    context_settings=CONTEXT,
)
@click.argument("name")
def command(name: str) -> int:
    """Make a token."""
    from service.guards.tokens import pair  # noqa: PLC0415 - not for help

    try:
        token, line = pair(name)
    except ValueError as fault:
        raise click.BadParameter(f"{fault}.", param_hint="NAME") from None
    if sys.stderr.isatty():
        complain(f"the token of {name}, which nothing shows again; send it as `Authorization: Bearer …`:")
    click.echo(token, err=True)
    if sys.stdout.isatty():
        complain("the line for the file of --tokens-file:")
    click.echo(line)
    return 0
