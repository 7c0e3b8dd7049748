"""`askd check`."""

import shutil
import sys
import textwrap

import click

from service.commands.base import SettingsCommand, Variables, export, warn
from service.settings import Settings


def _check(settings: Settings, variables: Variables) -> int:
    from service.check import report  # noqa: PLC0415 - answerers are imported only where one is wanted
    from service.telemetry import logs  # noqa: PLC0415 - not for help

    export(variables)
    warn(variables)
    logs.configure(settings.log_level, settings.log_format)
    for line in report(settings):
        click.echo(_wrapped(line) if sys.stdout.isatty() else line)
    return 0


def _wrapped(line: str) -> str:
    """Return a line of the table within the terminal's width, what goes on below its own column."""
    width = shutil.get_terminal_size().columns - 1
    return textwrap.fill(line, max(width, 40), subsequent_indent=" " * 15, break_on_hyphens=False)


command = SettingsCommand("check", _check, "Load settings and ANSWERER, and say what would be served.")
