"""Settings as options: help, defaults and shell completion."""

import dataclasses
import subprocess
import sys
from typing import Any

import pytest

from askd import __version__
from askd.cli import settings_help
from askd.cli.main import main
from askd.config import Settings
from askd.config.environment import variable_name

Capture = pytest.CaptureFixture[str]
Field = dataclasses.Field[Any]

FIELDS = dataclasses.fields(Settings)
BY_NAME = {field.name: field for field in FIELDS}
SETTINGS_COMMANDS = ("serve", "check", "openapi", "explain")


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_default_round_trips(field: Field) -> None:
    """The default in the help is a valid value, which results in the default."""
    shown = settings_help.format_default(field)
    assert shown or not field.default
    assert shown is None or field.metadata["read"](shown) == field.default


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("body_max_size", "64KiB"),
        ("cache_size", "64MiB"),
        ("threads", "64"),
        ("drain_timeout", None),
        ("connection_max_age", "5m"),
        ("concurrency", "auto"),
        ("log_questions", "false"),
        ("log_sample", "1"),
        ("host", "127.0.0.1"),
        ("latency_buckets", "1ms,2.5ms,5ms,10ms,25ms,50ms,100ms,250ms,500ms,1s,2.5s,5s,10s,30s,1m"),
        ("ops_port", None),
        ("prefix", None),
    ],
)
def test_default_is_readable(name: str, shown: str | None) -> None:
    """Sizes and durations use the largest unit that gives a whole number; unset settings have no default."""
    assert settings_help.format_default(BY_NAME[name]) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("threads", "NUMBER"),
        ("cache_size", "SIZE"),
        ("stall_timeout", "DURATION"),
        ("concurrency", "auto|NUMBER"),
        ("rate_limit", "RATE"),
        ("log_format", "auto|json|console"),
        ("log_sample", "NUMBER"),
        ("cors_origins", "ORIGINS"),
        ("host", "HOST"),
    ],
)
def test_metavar(name: str, shown: str) -> None:
    """The placeholder for a value shows its type or its choices."""
    assert settings_help.metavar(BY_NAME[name]) == shown


def test_accepted_text_comes_from_the_reader() -> None:
    """The reader describes the text it accepts; any text is None."""
    assert settings_help.describe_accepted(BY_NAME["port"]) == "a whole number from 0 to 65535"
    assert settings_help.describe_accepted(BY_NAME["host"]) is None


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("port", "0 to 65535"),
        ("log_sample", "0 to 1"),
        ("body_max_size", "1024 to 67108864 bytes"),
        ("header_timeout", "0.1s to 3600s"),
        ("drain_delay", "up to 600s"),
        ("cache_ttl", "at least 0.001s"),
        ("concurrency", "1 to 100000"),
        ("latency_buckets", None),
        ("host", None),
    ],
)
def test_range(name: str, shown: str | None) -> None:
    """Numbers, durations and sizes have a range."""
    assert settings_help.describe_range(BY_NAME[name]) == shown


def test_version(capsys: Capture) -> None:
    """--version and -V print name and version, also after other options."""
    assert main(["-V"]) == main(["-p", "1", "--version"]) == 0
    assert capsys.readouterr().out == f"askd {__version__}\n" * 2


@pytest.mark.parametrize("arguments", [["--help-all"], *([name, "--help-all"] for name in SETTINGS_COMMANDS)])
def test_full_help_lists_every_setting(capsys: Capture, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    """--help-all lists each setting with option, variable and default, by group, in 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    shown = {" ".join(line.split()) for line in lines}
    assert {f"{field.metadata['group']}:" for field in FIELDS} | {"Other:", "--env-file FILE"} <= shown
    assert {
        "--drain-delay DURATION ASKD_DRAIN_DELAY=2s",
        "--log-questions/--no-log-questions ASKD_LOG_QUESTIONS=false",
        "--ops-port NUMBER ASKD_OPS_PORT",
        "--latency-buckets BUCKETS ASKD_LATENCY_BUCKETS=1ms,…,1m",
    } <= shown
    assert {variable_name(field.name) for field in FIELDS} <= {
        line.split()[-1].partition("=")[0] for line in shown if line
    }


@pytest.mark.parametrize(
    ("arguments", "height"),
    [
        (["--help"], 24),
        (["-h"], 24),
        (["--port", "1", "-h"], 24),
        *(([name, "--help"], 40) for name in SETTINGS_COMMANDS),
    ],
)
def test_help_fits_one_screen(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch, arguments: list[str], height: int
) -> None:
    """--help fits a terminal, with the common options, three examples, and the way to all options and the docs."""
    monkeypatch.setenv("COLUMNS", "80")
    assert main(arguments) == 0
    text = capsys.readouterr().out
    lines = text.splitlines()
    assert (len(lines) <= height, max(map(len, lines)) <= 80) == (True, True)
    examples = lines[lines.index("Examples:") + 1 :][:3]
    assert all(line.startswith("  askd ") for line in examples)
    assert "--help-all" in text
    assert "Docs: docs/index.md" in text
    if "explain" not in arguments:
        assert all(option in text for option in ("--port", "--ops-port", "--concurrency", "--log-level", "--env-file"))


def test_help_starts_with_the_commands(capsys: Capture) -> None:
    """The commands precede the examples and options."""
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert text.index("  serve ") < text.index("  check ") < text.index("  openapi ") < text.index("Examples:")


@pytest.mark.parametrize(
    ("words", "completion"),
    [
        (["ser"], "serve"),
        (["--ops"], "--ops-port"),
        (["--vers"], "--version"),
        (["serve", "--no-det"], "--no-deterministic"),
        (["serve", "--stall-dump"], "--stall-dump-after"),
        (["check", "--log-format", "j"], "json"),
    ],
)
def test_shell_completion(capsys: Capture, monkeypatch: pytest.MonkeyPatch, words: list[str], completion: str) -> None:
    """Commands, all options (also without a command) and choices are completed."""
    monkeypatch.setenv("_ASKD_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", " ".join(["askd", *words]))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    with pytest.raises(SystemExit):
        main([])
    assert f"plain,{completion}" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_version_and_help_import_little(argument: str) -> None:
    """`python -m askd` runs the same command line, and the modules of the server are not imported for help."""
    command = [sys.executable, "-X", "importtime", "-m", "askd", argument]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert result.stdout.startswith(("askd ", "Usage: askd "))
    assert {"click", "askd.cli.main"} <= imported
    assert not {"aiohttp", "asyncio", "tantivy", "structlog", "msgspec", "prometheus_client", "yaml"} & imported
