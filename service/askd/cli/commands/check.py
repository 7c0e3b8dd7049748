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


def _run_check(settings: Settings, variables: EnvironmentVariables, *, ask: str | None) -> int:
    from askd.cli.check_report import build_report_with_answer  # noqa: PLC0415 - not needed for help
    from askd.telemetry import log_config  # noqa: PLC0415 - not needed for help

    export_variables(variables)
    warn_about_unknown_variables(variables)
    log_config.configure(settings.log_level, settings.log_format)
    lines, exit_code = build_report_with_answer(settings, ask)
    for line in lines:
        click.echo(_wrap_line(line) if sys.stdout.isatty() else line)
    return exit_code


def _wrap_line(line: str) -> str:
    """Wrap a line of the report at the terminal's width; continuation lines are indented below the value."""
    width = shutil.get_terminal_size().columns - 1
    return textwrap.fill(line, max(width, _MIN_WIDTH), subsequent_indent=" " * 15, break_on_hyphens=False)


command = SettingsCommand(
    "check",
    _run_check,
    "Validate the settings, load ANSWERER, and print the resulting configuration. Exit codes with --ask: 1 if there is "
    "no answer, 2 if the question is invalid, 3 if the answerer fails.",
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
