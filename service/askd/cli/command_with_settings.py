"""Commands whose options are the settings: `serve`, `check`, `openapi`, `explain`.

click passes the text of an option on unchanged; `Settings.load` validates it together with the variables, so that all
invalid settings are reported at once.
"""

import dataclasses
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from askd.answerers import folder_search
from askd.cli import settings_help
from askd.config import Settings, environment, unknown_variables
from askd.config.environment import VARIABLE_PREFIX, is_set

EnvironmentVariables = Mapping[str, str]
DEVELOPMENT_ENV_FILE: Final = ".env"
"""File in the working directory that is read under `--reload`, before those of `--env-file`."""

IMPLICIT_SERVE_KEY: Final = "askd.implicit_serve"
"""Key in the context's meta that is true if options were given without a command."""


class SettingsCommand(click.Command):
    """A command that takes every setting as an option, and ANSWERER as an argument.

    Args:
        name: Name of the command.
        handler: Called with the settings, the environment variables and the command's own parameters as keywords;
            returns the exit code.
        help: Description in the help.
        short_help: Description in the list of commands.
        own_params: Parameters of this command that are not settings; they precede ANSWERER.
        preset: Settings by name, as text, that options and variables cannot change.
        common: Settings in the short help.
        examples: Example commands in the short help.
    """

    def __init__(
        self,
        name: str,
        handler: Callable[..., int],
        help: str,
        *,
        short_help: str,
        own_params: Sequence[click.Parameter] = (),
        preset: Mapping[str, str] = MappingProxyType({}),
        common: Sequence[str] = settings_help.COMMON_SETTINGS,
        examples: Sequence[str] = (),
    ) -> None:
        spec = click.Argument(["spec"], required=False, metavar="[ANSWERER]", type=click.Path())
        help_all = settings_help.help_all_option(settings_help.write_all_options)
        super().__init__(
            name,
            callback=self._run,
            params=[*own_params, spec, *_setting_options(own_params), settings_help.env_file_option(), help_all],
            help=help,
            short_help=short_help,
            context_settings=settings_help.CONTEXT_SETTINGS,
        )
        self._own_params = own_params
        self._preset = preset
        self._handler = handler
        self._common = common
        self._examples = examples

    def _run(self, *, spec: str | None, env_file: Sequence[str], **values: Any) -> int:
        own = {param.name: values.pop(param.name) for param in self._own_params if param.name}
        flags = {name: to_setting_text(value) for name, value in values.items() if value is not None}
        flags |= self._preset
        if spec is not None:
            _reject_ambiguous_spec(spec, flags)
            flags["answerer"] = spec
        variables = _load_variables(env_file)
        settings = Settings.load(flags, variables)
        if settings.reload and Path(DEVELOPMENT_ENV_FILE).is_file():
            variables = _load_variables([DEVELOPMENT_ENV_FILE, *env_file])
            settings = Settings.load(flags, variables)
        if settings.answerer is None:
            settings = dataclasses.replace(settings, answerer=_find_default_spec())
        return self._handler(settings, variables, **own)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options that most users need."""
        settings_help.write_common_options(ctx, formatter, self._common, self._own_params)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples and the link to the documentation."""
        settings_help.write_examples(formatter, self._examples)
        formatter.write_paragraph()
        formatter.write_text(settings_help.DOCS_LINK)


def _find_default_spec() -> str | None:
    """Return the default file of this folder. Without one, print a warning if the folder has files to serve."""
    folder = Path()
    spec = folder_search.find_default_spec(folder)
    if spec is None and (warning := folder_search.built_in_book_warning(folder)):
        print_to_stderr(warning)
    return spec


def _reject_ambiguous_spec(spec: str, flags: Mapping[str, str]) -> None:
    if click.get_current_context().meta.get(IMPLICIT_SERVE_KEY):
        group = click.get_current_context().find_root()
        is_command = isinstance(group.command, click.Group) and spec in group.command.list_commands(group)
        command = spec if is_command else f"serve {spec}"
        raise click.UsageError(f"{spec!r} follows options without a command: did you mean `askd {command} …`?")
    if flags.get("answerer", spec) != spec:
        raise click.UsageError(f"ANSWERER is {spec} but --answerer is {flags['answerer']}: remove one of them")


def _load_variables(files: Sequence[str]) -> EnvironmentVariables:
    """Return the environment, with unset variables filled in from `files`; the last file wins."""
    variables: dict[str, str] = {}
    for file in files:
        variables |= environment.read_env_file(file)
    return variables | {name: value for name, value in os.environ.items() if name not in variables or is_set(value)}


def export_variables(variables: EnvironmentVariables) -> None:
    """Export variables other than `ASKD_*` to this process's environment, for the user's code."""
    for name, value in variables.items():
        if not name.startswith(VARIABLE_PREFIX):
            os.environ.setdefault(name, value)


def warn_about_unknown_variables(variables: EnvironmentVariables) -> None:
    """Print a warning for each `ASKD_*` variable that is not a setting."""
    for name, similar in unknown_variables(variables).items():
        hint = f": did you mean {similar}?" if similar else ""
        print_to_stderr(f"{name} is not a setting and is ignored{hint}")


def print_to_stderr(message: str) -> None:
    """Write lines to stderr with the prefix `askd: `; indented lines continue the line before and have no prefix."""
    for line in message.splitlines():
        click.echo(line if line[:1].isspace() else f"askd: {line}", err=True)


def _setting_options(own_params: Sequence[click.Parameter]) -> list[click.Option]:
    """Return an option for each setting, in the order of the fields. The command's own short options have priority."""
    taken = {flag for param in own_params for flag in param.opts}
    return [_build_option(field, taken) for field in dataclasses.fields(Settings)]


def _build_option(field: settings_help.Field, taken: Collection[str]) -> click.Option:
    words = settings_help.choices(field)

    def complete(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(word) for word in words if word.startswith(incomplete)]

    short_flag = settings_help.SHORT_FLAGS.get(field.name)
    declarations = [settings_help.flag_declaration(field)]
    if short_flag and short_flag not in taken:
        declarations.append(short_flag)
    if settings_help.is_boolean(field):
        return click.Option(declarations, default=None)
    return click.Option(declarations, metavar=settings_help.metavar(field), shell_complete=complete if words else None)


def to_setting_text(value: str | bool) -> str:  # noqa: FBT001 - click's own value of a flag
    """Return an option's value as the text that `Settings.load` expects."""
    return value if isinstance(value, str) else str(value).lower()
