"""Generator of docs/reference/settings.md. `python -m tools.docs_settings.page` writes the page."""

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from askd.cli.settings_help import Field, describe_accepted, format_default, is_boolean
from askd.config import Settings
from askd.config.environment import flag_name, variable_name

PAGE: Final = Path(__file__).parents[2] / "docs" / "reference" / "settings.md"
_INTRODUCTION: Final = """\
# Settings

<!-- Generated from service/askd/config/ by `python -m tools.docs_settings.page`: do not edit. -->

This page lists every setting of askd for operators who configure a server. Each setting is a command-line option and
an environment variable:

    askd serve main.py:answer --port 8080
    ASKD_PORT=8080 askd serve main.py:answer

Options override variables, variables override `--env-file`, and there is no other configuration file. An empty variable
counts as unset. If any setting is invalid, askd lists all invalid settings and exits with code 2. An unknown `ASKD_*`
variable causes a warning with the most similar name; variables that Kubernetes injects for Services called askd or
askd-… are ignored. The settings in effect are logged at startup, and `askd check` prints the resulting configuration.

- **Durations**: `500ms`, `10s`, `2m`, `1h`, or a number of seconds.
- **Sizes**: `64KiB`, `1MiB`, `1GiB`, or a number of bytes.
- **Booleans**: the options `--x` and `--no-x`, or a variable with `true` or `false`, `yes` or `no`, `on` or `off`, `1`
  or `0`.
- **`--env-file FILE`** reads `NAME=value` lines in the syntax of `.env` files: ` #` begins a comment, `export` may
  precede the name, values may be quoted, and `${NAME}` is replaced by a variable. If the option is repeated, the last
  file wins. Variables other than `ASKD_*` are exported to your code, unless the environment already contains them.
  With `--reload`, `.env` in the working directory is read as well.
"""


def render_page() -> str:
    """Return the page: a section for each group, an entry for each setting."""
    return "\n".join([_INTRODUCTION, *_render_sections()])


def _render_sections() -> Iterator[str]:
    for group, members in itertools.groupby(dataclasses.fields(Settings), lambda field: str(field.metadata["group"])):
        yield f"## {group}\n"
        for field in members:
            yield from _render_entry(field)


def _render_entry(field: Field) -> Iterator[str]:
    flag, default, accepted = flag_name(field.name), format_default(field), describe_accepted(field)
    flags = f"{flag}`, `--no-{flag[2:]}" if is_boolean(field) else flag
    yield f"### `{variable_name(field.name)}`\n"
    yield f"{field.metadata['help']}\n"
    yield f"- Option: `{flags}`"
    if accepted:
        yield f"- Value: {accepted}"
    yield f"- Default: {f'`{default}`' if default else 'unset'}\n"


if __name__ == "__main__":
    PAGE.write_text(render_page(), encoding="utf-8")
