"""Help of commands that take settings: a screen of common options for `--help`, every option for `--help-all`."""

import dataclasses
import itertools
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final

import click

from askd.cli.setting_options import (
    Field,
    choices,
    describe_range,
    env_file_option,
    flag_declaration,
    format_default,
    is_boolean,
    metavar,
)
from askd.config import Settings
from askd.config.environment import flag_name, variable_name

CONTEXT_SETTINGS: Final[dict[str, Any]] = {"max_content_width": 100, "help_option_names": ["-h", "--help"]}
COMMON_SETTINGS: Final = (
    "port",
    "host",
    "ops_port",
    "reload",
    "deadline",
    "concurrency",
    "tokens_file",
    "log_format",
    "log_level",
)
"""Settings in the short help, in this order; --env-file follows."""
DOCS_LINK: Final = "Docs: docs/index.md in askd's repository, and /docs on a running server."
HELP_ALL_FLAG: Final = "--help-all"
_PRECEDENCE: Final = (
    "Options override variables, variables override --env-file. Durations: 500ms, 10s, 2m or a number of seconds. "
    "Sizes: 64KiB, 1MiB or a number of bytes."
)
_USAGE_WIDTH: Final = 38
_MAX_USAGE_LENGTH: Final = 40
_MAX_DEFAULT_LENGTH: Final = 40
_END_OF_FIRST_CLAUSE: Final = re.compile(r"(?<=\.) |;")

OptionsWriter = Callable[[click.Context, click.HelpFormatter], None]


def help_all_option(write_options: OptionsWriter) -> click.Option:
    """Return `--help-all`, which prints usage, description and `write_options`, and exits."""

    def show(ctx: click.Context, _param: click.Parameter, value: bool) -> None:  # noqa: FBT001 - as click calls it
        if not value or ctx.resilient_parsing:
            return
        formatter = ctx.make_formatter()
        ctx.command.format_usage(ctx, formatter)
        ctx.command.format_help_text(ctx, formatter)
        write_options(ctx, formatter)
        formatter.write_paragraph()
        formatter.write_text(_PRECEDENCE)
        click.echo(formatter.getvalue().rstrip("\n"), color=ctx.color)
        ctx.exit()

    return click.Option(
        [HELP_ALL_FLAG],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=show,
        help="Show every option with its variable and default, and exit.",
    )


def write_common_options(
    ctx: click.Context, formatter: click.HelpFormatter, names: Sequence[str], own_params: Collection[click.Parameter]
) -> None:
    """Write the command's own options, the settings called `names`, --env-file and the help options."""
    settings = {field.name: field for field in dataclasses.fields(Settings)}
    own_options = [param for param in own_params if isinstance(param, click.Option)]
    rows = [record for param in own_options if (record := param.get_help_record(ctx))]
    rows += [(_format_short_usage(settings[name]), _format_short_help(settings[name])) for name in names]
    rows.append(("--env-file FILE", "Read variables from FILE, with NAME=value lines."))
    rows += [
        record
        for param in ctx.command.get_params(ctx)
        if param.is_eager and isinstance(param, click.Option) and (record := param.get_help_record(ctx))
    ]
    with formatter.section("Common options" if names else "Options"):
        formatter.write_dl(rows)


def write_examples(formatter: click.HelpFormatter, examples: Sequence[str]) -> None:
    """Write the section with example commands."""
    with formatter.section("Examples"):
        for example in examples:
            formatter.write(f"{'':>{formatter.current_indent}}{example}\n")


def write_all_options(ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """Write every setting by group, with its variable, default and range, and then the remaining options."""
    settings = dataclasses.fields(Settings)
    for group, members in itertools.groupby(settings, lambda field: str(field.metadata["group"])):
        with formatter.section(group):
            for field in members:
                usage = f"{_format_usage(field):<{_USAGE_WIDTH}}  {_format_variable(field)}"
                accepted = describe_range(field)
                _write_entry(formatter, usage, field.metadata["help"] + (f" Range: {accepted}." if accepted else ""))
    known = {"env_file", *(field.name for field in settings)}
    options = [param for param in ctx.command.get_params(ctx) if isinstance(param, click.Option)]
    others = [env_file_option(), *(param for param in options if param.name not in known)]
    with formatter.section("Other"):
        for usage, help in filter(None, (param.get_help_record(ctx) for param in others)):
            _write_entry(formatter, usage, help)


def _write_entry(formatter: click.HelpFormatter, usage: str, help: str) -> None:
    formatter.write(f"{'':>{formatter.current_indent}}{usage}\n")
    with formatter.indentation(), formatter.indentation():
        formatter.write_text(help)


def _format_usage(field: Field) -> str:
    flags = flag_declaration(field)
    if not is_boolean(field):
        return f"{flags} {metavar(field)}"
    return flags if len(flags) <= _MAX_USAGE_LENGTH else f"--[no-]{flag_name(field.name)[2:]}"


def _format_short_usage(field: Field) -> str:
    if is_boolean(field):
        return flag_name(field.name)
    # A list of choices would be wider than the column; it is part of the description instead.
    value = field.name.rpartition("_")[2].upper() if choices(field) else metavar(field)
    return f"{flag_name(field.name)} {value}"


def _format_short_help(field: Field) -> str:
    """Return the first clause of the setting's help, with its choices and default."""
    clause = _END_OF_FIRST_CLAUSE.split(field.metadata["help"])[0].rstrip(".")
    clause += f": {', '.join(choices(field))}." if choices(field) else "."
    default = None if is_boolean(field) else format_default(field)
    return f"{clause}  [default: {default}]" if default else clause


def _format_variable(field: Field) -> str:
    """Return `ASKD_DRAIN_DELAY=2s`, with a long list shortened, or the name alone if the default is unset."""
    default = format_default(field)
    if default is None:
        return variable_name(field.name)
    first, *middle, last = default.split(",") if len(default) > _MAX_DEFAULT_LENGTH else [default, ""]
    return f"{variable_name(field.name)}={first}" + (f",…,{last}" if middle else "")
