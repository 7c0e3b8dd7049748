"""Settings as click options, and their description for help, reference page and chart.

click passes the text of an option on unchanged; `Settings.load` validates it together with the variables, so that all
invalid settings are reported at once.
"""

import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from askd.config import Settings, fields
from askd.config.environment import flag_name

Field = dataclasses.Field[Any]

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


def setting_options() -> list[click.Option]:
    """Return an option for each setting, in the order of the fields."""
    return [_build_option(field) for field in dataclasses.fields(Settings)]


def _build_option(field: Field) -> click.Option:
    def complete(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(word) for word in choices(field) if word.startswith(incomplete)]

    if is_boolean(field):
        return click.Option([flag_declaration(field)], default=None)
    return click.Option(
        [flag_declaration(field)], metavar=metavar(field), shell_complete=complete if choices(field) else None
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


def to_setting_text(value: str | bool) -> str:  # noqa: FBT001 - click's own value of a flag
    """Return an option's value as the text that `Settings.load` expects."""
    return value if isinstance(value, str) else str(value).lower()
