"""docs/settings.md is made from the settings. To write it anew: `python tests/test_settings_page.py`."""

import dataclasses
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from service import options, units
from service.settings import Settings
from service.variables import flag_name, variable_name

PAGE: Final = Path(__file__).parent.parent / "docs" / "settings.md"
_INTRODUCTION: Final = """\
# Settings

<!-- Made from service/settings/ by tests/test_settings_page.py: change it there. -->

Every setting is a flag and a variable. A flag goes before its variable, a variable before `--env-file`, and an empty
variable counts as unset. All faults are reported at once, and the process then exits with 2. An unknown `ASKD_*`
variable is a warning that names the nearest setting; what Kubernetes injects for Services called askd or askd-ops is
passed over. The settings in force are logged at the start. `askd check` says what they come to.

- **Durations** are `500ms`, `10s`, `2m`, `1h`, or a number of seconds.
- **Sizes** are `64KiB`, `1MiB`, `1GiB`, or a number of bytes.
- **Booleans** are the flags `--x` and `--no-x`, or a variable of `true` or `false`, `yes` or `no`, `on` or `off`, `1`
  or `0`.
- **`--env-file FILE`** reads `NAME=value` lines as docker does: `#` starts a comment line, `export` may stand before
  the name, quotes around a value are taken off. It may be given several times; the last wins. Variables other than
  `ASKD_*` go into the process's environment for your code, unless they are there already. There is no other
  configuration file.
"""


def page() -> str:
    """Return the page: a section for each group, an entry for each setting."""
    return "\n".join([_INTRODUCTION, *_sections()])


def _sections() -> Iterator[str]:
    for group, fields in itertools.groupby(dataclasses.fields(Settings), lambda field: str(field.metadata["group"])):
        yield f"## {group.capitalize()}\n"
        for field in fields:
            yield from _entry(field)


def _entry(field: "dataclasses.Field[Any]") -> Iterator[str]:
    flag, default, allowed = flag_name(field.name), options.default_text(field), options.allowed(field)
    flags = f"{flag}`, `--no-{flag[2:]}" if field.metadata["read"] is units.boolean else flag
    yield f"### `{variable_name(field.name)}`\n"
    yield f"{field.metadata['help']}\n"
    yield f"- Flag: `{flags}`"
    if allowed:
        yield f"- Takes: {allowed}"
    yield f"- Default: {f'`{default}`' if default else 'unset'}\n"


def test_the_page_is_up_to_date() -> None:
    """docs/settings.md is what the settings say now; else run `python tests/test_settings_page.py`."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_setting_is_on_the_page() -> None:
    """Each setting has an entry under its variable, which links can point to."""
    assert page().count("\n### `ASKD_") == len(dataclasses.fields(Settings))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
