"""`askd openapi`."""

import click

from askd.cli.settings_command import (
    EnvironmentVariables,
    SettingsCommand,
    export_variables,
    warn_about_unknown_variables,
)
from askd.config import Settings


def _run_openapi(settings: Settings, variables: EnvironmentVariables) -> int:
    from askd.cli.check_report import build_openapi_json  # noqa: PLC0415 - not needed for help
    from askd.telemetry import log_config  # noqa: PLC0415 - not needed for help

    export_variables(variables)
    warn_about_unknown_variables(variables)
    log_config.configure(settings.log_level, settings.log_format)
    click.echo(build_openapi_json(settings))
    return 0


command = SettingsCommand(
    "openapi",
    _run_openapi,
    "Print the OpenAPI 3.1 document of ANSWERER as JSON.",
    short_help="Print the OpenAPI document as JSON.",
    examples=(
        "askd openapi main.py:answer > openapi.json",
        "askd openapi book.yaml --prefix /answers",
        "askd openapi main.py:answer | jq .paths",
    ),
)
