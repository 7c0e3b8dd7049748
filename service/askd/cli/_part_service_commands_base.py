"""What commands share: the settings as options, variables, complaints."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from service import commands, envfile, options, usual
from service.settings import Settings, unknown_variables
from service.variables import PREFIX, given

Variables = Mapping[str, str]

EPILOG: Final = (
    "A flag goes before its variable, a variable before --env-file. Durations: 500ms, 10s, 2m or seconds. "
    "Sizes: 64KiB, 1MiB or bytes."
)
CONTEXT: Final[dict[str, Any]] = {"max_content_width": 100, "help_option_names": ["-h", "--help"]}
IMPLIED: Final = "askd.implied"
"""Key of the context's meta: options stood without a command."""


class SettingsCommand(click.Command):
    """A command that takes every setting; `work` gets settings and variables, and returns the exit code.

    `params` are the command's own, before ANSWERER; `work` gets those too, by name.
    """

    def __init__(
        self, name: str, work: Callable[..., int], help: str, *, params: Sequence[click.Parameter] = ()
    ) -> None:
        spec = click.Argument(["spec"], required=False, metavar="[ANSWERER]", type=click.Path())
        every = [*params, spec, *options.settings(), options.env_file()]
        super().__init__(name, callback=self._run, params=every, help=help, epilog=EPILOG, context_settings=CONTEXT)
        self._work = work
        self.own = params
        """The command's own, which are no settings."""

    def _run(self, *, spec: str | None, env_file: Sequence[str], **values: Any) -> int:
        own = {param.name: values.pop(param.name) for param in self.own if param.name}
        flags = {name: options.text(value) for name, value in values.items() if value is not None}
        if spec is not None:
            _refuse_ambiguity(spec, flags)
            flags["answerer"] = spec
        variables = _variables(env_file)
        settings = Settings.load(flags, variables)
        if settings.answerer is None:
            settings = dataclasses.replace(settings, answerer=usual.answerer(Path()))
        return self._work(settings, variables, **own)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the settings by group, then the options that are no settings."""
        options.write_help(ctx, formatter)


def _refuse_ambiguity(spec: str, flags: Mapping[str, str]) -> None:
    if click.get_current_context().meta.get(IMPLIED):
        command = spec if spec in commands.NAMES else f"serve {spec}"
        raise click.UsageError(f"{spec!r} stands without a command: did you mean `askd {command} …`?")
    if flags.get("answerer", spec) != spec:
        raise click.UsageError(f"ANSWERER is {spec} and --answerer is {flags['answerer']}: leave one of them out")


def _variables(files: Sequence[str]) -> Variables:
    """Return the environment, filled up from `files`, of which the last wins."""
    found: dict[str, str] = {}
    for file in files:
        found |= envfile.read(file)
    return found | {name: value for name, value in os.environ.items() if name not in found or given(value)}


def export(variables: Variables) -> None:
    """Put what is no setting into this process's environment: it is for the user's code."""
    for name, value in variables.items():
        if not name.startswith(PREFIX):
            os.environ.setdefault(name, value)


def warn(variables: Variables) -> None:
    """Complain of variables that look like settings and are none."""
    for name, near in unknown_variables(variables).items():
        complain(f"{name} is no setting and does nothing" + (f": did you mean {near}?" if near else ""))


def complain(message: str) -> None:
    """Write to stderr, `askd: ` before every line but those that are indented, which go on with the one before."""
    for line in message.splitlines():
        click.echo(line if line[:1].isspace() else f"askd: {line}", err=True)
