"""`askd openapi`."""

import click

from service.commands.base import SettingsCommand, Variables, export, warn
from service.settings import Settings


def _openapi(settings: Settings, variables: Variables) -> int:
    from service.check import contract  # noqa: PLC0415 - answerers are imported only where one is wanted
    from service.telemetry import logs  # noqa: PLC0415 - not for help

    export(variables)
    warn(variables)
    logs.configure(settings.log_level, settings.log_format)
    click.echo(contract(settings))
    return 0


command = SettingsCommand("openapi", _openapi, "Print the contract of ANSWERER: OpenAPI 3.1, as JSON.")
