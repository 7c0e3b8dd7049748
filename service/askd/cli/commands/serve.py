"""`askd serve`."""

import gc

import click

from service import reload
from service.commands.base import SettingsCommand, Variables, export
from service.settings import Settings, unknown_variables


def _serve(settings: Settings, variables: Variables) -> int:
    if settings.reload and not reload.is_worker():
        from service.reload.supervisor import supervise  # noqa: PLC0415 - only where it is wanted

        return supervise(settings, env_files=click.get_current_context().params["env_file"])
    export(variables)
    gc.disable()  # importing makes no garbage; the server turns it on when it is ready
    if reload.is_worker():
        from service.reload.worker import run  # noqa: PLC0415 - only where it is wanted
    else:
        from service.server import run  # noqa: PLC0415 - aiohttp and the rest only where a server is wanted
    return run(settings, unknown=unknown_variables(variables))


command = SettingsCommand("serve", _serve, "Serve ANSWERER; without one, this folder's answer.py or the built-in book.")
