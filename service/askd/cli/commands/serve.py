"""`askd serve`."""

import gc

import click

from askd import reload
from askd.cli.settings_command import EnvironmentVariables, SettingsCommand, export_variables
from askd.config import Settings, unknown_variables


def _run_serve(settings: Settings, variables: EnvironmentVariables) -> int:
    if settings.reload and not reload.is_worker():
        from askd.reload.supervisor import supervise  # noqa: PLC0415 - only for --reload

        return supervise(settings, env_files=click.get_current_context().params["env_file"])
    export_variables(variables)
    gc.disable()  # imports create no garbage; the server enables the collector when it is ready
    if reload.is_worker():
        from askd.reload.worker import run  # noqa: PLC0415 - only for workers
    else:
        from askd.process.server import run  # noqa: PLC0415 - not needed for help
    return run(settings, unknown=unknown_variables(variables))


command = SettingsCommand(
    "serve",
    _run_serve,
    "Serve ANSWERER over HTTP. Without ANSWERER, answer.py, main.py or a book in this directory is served, otherwise "
    "the built-in book.",
    short_help="Serve a function, graph or book over HTTP.",
    examples=(
        "askd serve main.py:answer --reload",
        "askd serve book.yaml --port 8080 --ops-port 9090",
        "askd serve graph.py:graph --host 0.0.0.0 --env-file production.env",
    ),
)
