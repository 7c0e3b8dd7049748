"""Settings as options: help, defaults as one would write them, completion."""

import dataclasses
import subprocess
import sys
from typing import Any

import pytest

from service import __version__, options
from service.cli import main
from service.settings import Settings
from service.variables import variable_name

Capture = pytest.CaptureFixture[str]
Field = dataclasses.Field[Any]

FIELDS = dataclasses.fields(Settings)
BY_NAME = {field.name: field for field in FIELDS}


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_the_default_shown_reads_back(field: Field) -> None:
    """What help shows as the default is what one may write to get it."""
    shown = options.default_text(field)
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
def test_defaults_are_written_for_people(name: str, shown: str | None) -> None:
    """Sizes and durations have their largest whole unit; what is unset has none."""
    assert options.default_text(BY_NAME[name]) == shown


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("threads", "NUMBER"),
        ("cache_size", "SIZE"),
        ("stall_limit", "DURATION"),
        ("log_format", "auto|json|console"),
        ("log_sample", "NUMBER"),
        ("cors_origins", "ORIGINS"),
        ("host", "HOST"),
    ],
)
def test_the_value_has_a_telling_name(name: str, shown: str) -> None:
    """What stands for a value says what kind it is, or which words there are."""
    assert options.metavar(BY_NAME[name]) == shown


def test_what_is_allowed_comes_from_the_reader() -> None:
    """The reader itself says what it takes; None: any text."""
    assert options.allowed(BY_NAME["port"]) == "a whole number from 0 to 65535"
    assert options.allowed(BY_NAME["host"]) is None


def test_version(capsys: Capture) -> None:
    """--version prints name and version, wherever among options it stands."""
    assert main(["--version"]) == main(["--port", "1", "--version"]) == 0
    assert capsys.readouterr().out == f"askd {__version__}\n" * 2


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["serve", "--help"], ["check", "-h"], ["openapi", "--help"]])
def test_help_shows_every_setting(capsys: Capture, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    """Help names each setting's flag, its variable and its default, by group, within the usual width."""
    monkeypatch.setenv("COLUMNS", "80")
    assert main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    shown = {" ".join(line.split()) for line in lines}
    assert {"Answerer:", "Limits:", "Listen:", "Log:", "Stop:", "Other:", "--env-file FILE"} <= shown
    assert {
        "--drain-delay DURATION ASKD_DRAIN_DELAY=2s",
        "--log-questions/--no-log-questions ASKD_LOG_QUESTIONS=false",
        "--ops-port NUMBER ASKD_OPS_PORT",
        "--latency-buckets BUCKETS ASKD_LATENCY_BUCKETS=1ms,…,1m",
    } <= shown
    assert {variable_name(field.name) for field in FIELDS} <= {
        line.split()[-1].partition("=")[0] for line in shown if line
    }


def test_help_starts_with_the_commands(capsys: Capture) -> None:
    """The first thing that help tells is what one can do."""
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert text.index("  serve ") < text.index("  check ") < text.index("  openapi ") < text.index("--answerer")


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["ser"], "serve"),
        (["--ops"], "--ops-port"),
        (["--vers"], "--version"),
        (["serve", "--no-det"], "--no-deterministic"),
        (["check", "--log-format", "j"], "json"),
    ],
)
def test_the_shell_completes(capsys: Capture, monkeypatch: pytest.MonkeyPatch, typed: list[str], offered: str) -> None:
    """Completion knows commands, options (also without a command) and the words that a setting takes."""
    monkeypatch.setenv("_ASKD_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", " ".join(["askd", *typed]))
    monkeypatch.setenv("COMP_CWORD", str(len(typed)))
    with pytest.raises(SystemExit):
        main([])
    assert f"plain,{offered}" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("argument", ["--version", "--help"])
def test_version_and_help_import_little(argument: str) -> None:
    """As a module it is the same command, and what only a server needs is not imported to say who one is."""
    command = [sys.executable, "-X", "importtime", "-m", "service", argument]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    imported = {line.rpartition("|")[2].strip() for line in ended.stderr.splitlines()}
    assert ended.stdout.startswith(("askd ", "Usage: askd "))
    assert {"click", "service.cli"} <= imported
    assert not {"aiohttp", "asyncio", "tantivy", "structlog", "msgspec", "prometheus_client", "yaml"} & imported
