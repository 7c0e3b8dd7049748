"""Every setting as a click option and as lines of help; click hands the strings on, `Settings.load` validates them."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from service import units
from service.settings import Settings
from service.variables import flag_name, variable_name

Field = dataclasses.Field[Any]

_KINDS: Final = {"a duration": "DURATION", "a size": "SIZE", "a whole number": "NUMBER", "a number": "NUMBER"}
_CHOICE: Final = "one of "
_COLUMN: Final = 38


def allowed(field: Field) -> str | None:
    """Return what the field's reader says it takes; None: any text. NUL is what no reader takes."""
    try:
        field.metadata["read"]("\0")
    except ValueError as fault:
        return str(fault)
    return None


def default_text(field: Field) -> str | None:
    """Return the default as one would write it; None: unset. The field's own reader decides which form is right."""
    if field.default is None or field.default in ((), ""):
        return None
    read: Callable[[str], Any] = field.metadata["read"]
    return next(text for text in _forms(field.default) if _reads_as(read, text, field.default))


def _reads_as(read: Callable[[str], Any], text: str, value: Any) -> bool:
    try:
        return bool(read(text) == value)
    except ValueError:
        return False


def _forms(value: Any) -> Iterator[str]:
    """Yield ways to write a value, the most readable first."""
    if isinstance(value, tuple):
        yield ",".join(next(_forms(part)) for part in value)
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
    """Return the words that the field takes; none where it is no choice."""
    text = allowed(field) or ""
    return text.removeprefix(_CHOICE).split(", ") if text.startswith(_CHOICE) else []


def metavar(field: Field) -> str:
    """Return what stands for the value in help: its kind, its words, or the last word of the setting's name."""
    text = allowed(field) or ""
    kind = next((kind for start, kind in _KINDS.items() if text.startswith(start)), None)
    return kind or "|".join(choices(field)) or field.name.rpartition("_")[2].upper()


def settings() -> list[click.Option]:
    """Return an option for each setting, in their order."""
    return [_option(field) for field in dataclasses.fields(Settings)]


def env_file() -> click.Option:
    """Return the one option that is no setting."""
    return click.Option(
        ["--env-file"],
        multiple=True,
        metavar="FILE",
        type=click.Path(),
        help="Read variables from FILE: NAME=value lines, # for comments. Those that are not ASKD_* are for your code. "
        "May be given several times; the last wins.",
    )


def text(value: str | bool) -> str:  # noqa: FBT001 - click's own value of a flag
    """Return an option's value as `Settings.load` takes it."""
    return value if isinstance(value, str) else str(value).lower()


def _is_boolean(field: Field) -> bool:
    return field.metadata["read"] is units.boolean


def _flags(field: Field) -> str:
    flag = flag_name(field.name)
    return f"{flag}/--no-{flag[2:]}" if _is_boolean(field) else flag


def _option(field: Field) -> click.Option:
    def complete(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(word) for word in choices(field) if word.startswith(incomplete)]

    if _is_boolean(field):
        return click.Option([_flags(field)], default=None)
    return click.Option([_flags(field)], metavar=metavar(field), shell_complete=complete if choices(field) else None)


def write_help(ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """Write the settings, group by group, each with its variable and default; then the options that are none."""
    for group, fields in itertools.groupby(dataclasses.fields(Settings), lambda field: str(field.metadata["group"])):
        with formatter.section(group.capitalize()):
            for field in fields:
                _write(formatter, f"{_usage(field):<{_COLUMN}}  {_variable(field)}", field.metadata["help"])
    known = {"env_file", *(field.name for field in dataclasses.fields(Settings))}
    own = [
        param for param in ctx.command.get_params(ctx) if isinstance(param, click.Option) and param.name not in known
    ]
    with formatter.section("Other"):
        for usage, help in filter(None, (param.get_help_record(ctx) for param in [env_file(), *own])):
            _write(formatter, usage, help)


def _write(formatter: click.HelpFormatter, head: str, help: str) -> None:
    formatter.write(f"{'':>{formatter.current_indent}}{head}\n")
    with formatter.indentation(), formatter.indentation():
        formatter.write_text(help)


def _usage(field: Field) -> str:
    flags = _flags(field)
    if not _is_boolean(field):
        return f"{flags} {metavar(field)}"
    return flags if len(flags) <= 40 else f"--[no-]{flag_name(field.name)[2:]}"  # fits a terminal


def _variable(field: Field) -> str:
    """Return `ASKD_DRAIN_DELAY=2s`; a long list is shortened; the name alone where the default is unset."""
    default = default_text(field)
    if default is None:
        return variable_name(field.name)
    first, *middle, last = default.split(",") if len(default) > 40 else [default, ""]
    return f"{variable_name(field.name)}={first}" + (f",…,{last}" if middle else "")
