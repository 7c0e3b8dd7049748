"""Help of commands that take settings, and the descriptions of settings for help, reference page and chart.

`--help` is a screen with common options; `--help-all` lists every option.
"""

import dataclasses
import itertools
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Final

import click

from askd.config import Settings, fields
from askd.config.environment import flag_name, variable_name

Field = dataclasses.Field[Any]

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
SHORT_FLAGS: Final = {"port": "-p"}
"""Short options of settings, in commands that do not use them for something else."""
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

_METAVARS: Final = {
    "auto or a whole number": "auto|NUMBER",
    "a duration": "DURATION",
    "a size": "SIZE",
    "a whole number": "NUMBER",
    "a number": "NUMBER",
    "a rate": "RATE",
}
"""Placeholder in help by the beginning of the reader's description."""
_CHOICE_PREFIX: Final = "one of "
_MINIMUM_PATTERN: Final = re.compile(r"\b(?:at least|from) ([\d.e+-]+s?)")
_MAXIMUM_PATTERN: Final = re.compile(r"\b(?:at most|to) ([\d.e+-]+s?(?: bytes)?)")

OptionsWriter = Callable[[click.Context, click.HelpFormatter], None]


def describe_accepted(field: Field) -> str | None:
    """Return the text that the field's reader accepts ("a whole number from 0 to 65535"), or None for any text."""
    try:
        field.metadata["read"]("\0")  # no reader accepts NUL, so its error describes the accepted text
    except ValueError as error:
        return str(error)
    return None


def describe_range(field: Field) -> str | None:
    """Return the range of a number, duration or size ("0 to 65535", "up to 60s"), or None for other settings."""
    text = describe_accepted(field) or ""
    if choices(field) or field.metadata["read"] is fields.bucket_bounds:
        return None
    minimum, maximum = _MINIMUM_PATTERN.search(text), _MAXIMUM_PATTERN.search(text)
    if minimum and maximum:
        return f"{minimum[1]} to {maximum[1]}"
    return f"at least {minimum[1]}" if minimum else f"up to {maximum[1]}" if maximum else None


def format_default(field: Field) -> str | None:
    """Return the default as a user would write it, or None if the setting is unset by default."""
    if field.default is None or field.default in ((), ""):
        return None
    read: Callable[[str], Any] = field.metadata["read"]
    return next(text for text in _format_candidates(field.default) if _parses_to(read, text, field.default))


def _parses_to(read: Callable[[str], Any], text: str, value: Any) -> bool:
    try:
        return bool(read(text) == value)
    except ValueError:
        return False


def _format_candidates(value: Any) -> Iterator[str]:
    """Yield texts for a value, the most readable first. The reader decides which one is valid: 64 may be a count."""
    if isinstance(value, tuple):
        yield ",".join(next(_format_candidates(part)) for part in value)
    elif isinstance(value, bool):
        yield str(value).lower()
    elif isinstance(value, int):
        for unit, factor in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
            if value and value % factor == 0:
                yield f"{value // factor}{unit}"
    elif isinstance(value, float):
        for unit, factor in (("h", 3600), ("m", 60), ("s", 1)):
            if value % factor == 0 and value:
                yield f"{value / factor:g}{unit}"
        yield f"{value * 1000:g}ms" if 0 < value < 1 else f"{value:g}s"
        yield f"{value:g}"
    yield str(value)


def choices(field: Field) -> list[str]:
    """Return the words that the field accepts; empty if it is not a choice."""
    text = describe_accepted(field) or ""
    return text.removeprefix(_CHOICE_PREFIX).split(", ") if text.startswith(_CHOICE_PREFIX) else []


def metavar(field: Field) -> str:
    """Return the placeholder for the value in help: its type, its choices, or the last word of the setting's name."""
    text = describe_accepted(field) or ""
    type_name = next((name for start, name in _METAVARS.items() if text.startswith(start)), None)
    return type_name or "|".join(choices(field)) or field.name.rpartition("_")[2].upper()


def is_boolean(field: Field) -> bool:
    """Return whether the option of the field is a pair of flags, `--x` and `--no-x`."""
    return field.metadata["read"] is fields.boolean


def flag_declaration(field: Field) -> str:
    """Return the option as click declares it: `--port`, or `--reload/--no-reload`."""
    flag = flag_name(field.name)
    return f"{flag}/--no-{flag[2:]}" if is_boolean(field) else flag


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


def env_file_option() -> click.Option:
    """Return `--env-file`, which is an option but not a setting."""
    return click.Option(
        ["--env-file"],
        multiple=True,
        metavar="FILE",
        type=click.Path(),
        help="Read variables from FILE, with NAME=value lines and # comments. Variables other than ASKD_* are passed "
        "to your code. Repeat the option for several files; the last one wins.",
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
    short = f"{SHORT_FLAGS[field.name]}, " if field.name in SHORT_FLAGS else ""
    return f"{short}{flag_name(field.name)} {value}"


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
