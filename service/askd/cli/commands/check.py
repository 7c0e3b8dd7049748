"""`askd check`."""

import shutil
import sys
import textwrap

import click

from askd.cli.settings_command import (
    EnvironmentVariables,
    SettingsCommand,
    export_variables,
    warn_about_unknown_variables,
)
from askd.config import Settings

_MIN_WIDTH = 40


def _run_check(settings: Settings, variables: EnvironmentVariables) -> int:
    from askd.cli.check_report import build_report  # noqa: PLC0415 - not needed for help
    from askd.telemetry import log_config  # noqa: PLC0415 - not needed for help

    export_variables(variables)
    warn_about_unknown_variables(variables)
    log_config.configure(settings.log_level, settings.log_format)
    for line in build_report(settings):
        click.echo(_wrap_line(line) if sys.stdout.isatty() else line)
    return 0


def _wrap_line(line: str) -> str:
    """Wrap a line of the report at the terminal's width; continuation lines are indented below the value."""
    width = shutil.get_terminal_size().columns - 1
    return textwrap.fill(line, max(width, _MIN_WIDTH), subsequent_indent=" " * 15, break_on_hyphens=False)


command = SettingsCommand(
    "check",
    _run_check,
    "Validate the settings, load ANSWERER, and print the resulting configuration.",
    short_help="Validate settings and answerer without serving.",
    examples=(
        "askd check main.py:answer",
        "askd check book.yaml --rate-limit 100/s",
        "askd check --env-file production.env",
    ),
)
