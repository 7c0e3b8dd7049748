"""`askd token`."""

import sys

import click

from askd.cli.settings_command import print_to_stderr
from askd.cli.settings_help import CONTEXT_SETTINGS


@click.command(
    "token",
    short_help="Create a token for a client.",
    help="Create a token for the client NAME. The line for --tokens-file is written to standard output, the token to "
    "standard error: `askd token alice >> tokens` appends the line and shows the token once.",
    context_settings=CONTEXT_SETTINGS,
)
@click.argument("name")
def command(name: str) -> int:
    """Create a token."""
    from askd.guards.tokens import generate_token  # noqa: PLC0415 - not needed for help

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
