"""`askd check` and `askd openapi` with real answerers."""

import json
import re
import socket
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from askd.cli.main import main
from askd.guards.tokens import generate_token
from askd.httpserver import descriptors
from tests.support.certificates import issue_certificate, utc_date, write_certificate

Capture = pytest.CaptureFixture[str]
NOT_DETERMINISTIC = "off: the answerer is not deterministic"

MAIN = '''
from typing import Literal

print("from the import")

def answer(text: str, n: int = 3, *, lang: Literal["en", "de"] = "en", tags: list[str] | None = None, sure: bool):
    """Return the question."""
    return text

def constant(text):
    return "always"

constant.deterministic = True
'''


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a directory with a module and a book, with default settings."""
    (tmp_path / "main.py").write_text(MAIN)
    (tmp_path / "book.yaml").write_text("- ask: hello\n  answer: Hi\n- ask: bye\n  answer: Ciao\n")
    monkeypatch.chdir(tmp_path)
    for name in ("ASKD_ANSWERER", "ASKD_HOST", "ASKD_PORT", "ASKD_OPS_PORT", "ASKD_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def run_check(capsys: Capture, *arguments: str) -> dict[str, str]:
    """Return the report of `askd check` by label."""
    assert main(["check", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    return {line[:14].strip(): line[14:].strip() for line in lines}


def test_report_for_a_book(capsys: Capture) -> None:
    """The report for a book includes its number of entries, its version and every limit."""
    report = run_check(capsys, "book.yaml")
    assert report.pop("version")
    report.pop("port", None)  # the default port may be taken on this machine
    assert report.pop("tool").startswith("book: Answers questions from the book book.yaml.")
    assert json.loads(report.pop("arguments"))["q"]["description"] == "The question."
    assert report == {
        "answerer": "book.yaml (book)",
        "entries": "2",
        "deterministic": "yes",
        "cache": "64 MiB; answers until the version changes, missing answers for 5s",
        "single flight": "on: equal concurrent requests share one call",
        "streaming": "no",
        "deadline": "10s for a response, 600s for a stream; clients may request less",
        "concurrency": "automatic limit; queue of 64, target delay 0.1s; excess requests get 503",
        "questions": "up to 1,000 characters",
        "tokens": "none: no authentication",
        "connections": "up to 1,000; timeouts: headers 10s, body 5s, write 20s, keep-alive 75s; maximum age: 300s",
        "address": "http://127.0.0.1:2024",
        "metrics": "http://127.0.0.1:2024/metrics",
        "shutdown": "2s drain delay, 15s for requests in flight, 5s to close the answerer, 2s to flush logs and "
        "traces; set the platform's grace period to 29s",
    }


def test_limit_of_open_files_bounds_connections(capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report says how many connections the limit of open files leaves."""
    monkeypatch.setattr(descriptors, "descriptor_limit", lambda: 1024)
    assert run_check(capsys, "book.yaml")["connections"].startswith(
        "up to 896 instead of 1,000, because the limit of open files (ulimit -Hn) is 1,024, and 128 are reserved; "
    )


def test_tool_without_description_is_a_warning(capsys: Capture) -> None:
    """The report shows the tool as a model sees it, and warns if the model learns nothing; not if MCP is off."""
    report = run_check(capsys, "main.py:answer")
    assert report["tool"] == "answer: Return the question."
    assert list(json.loads(report["arguments"])) == ["text", "n", "lang", "tags", "sure"]
    assert "warning" not in report
    assert "write a docstring" in run_check(capsys, "main.py:constant")["warning"]
    assert not {"tool", "warning"} & run_check(capsys, "main.py:constant", "--formats", "ask").keys()


def test_taken_port(capsys: Capture) -> None:
    """The report says which process uses the port, and how to choose another one; it has no such line otherwise."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        taken = run_check(capsys, "book.yaml", "-p", str(port))["port"]
    assert taken.startswith(f"port {port} of 127.0.0.1 is in use by ")
    assert "pass --port=" in taken
    assert "port" not in run_check(capsys, "book.yaml", "-p", "0")


def test_report_for_a_function(capsys: Capture) -> None:
    """The report for a function includes each parameter with type and default; the function's output is not in it."""
    report = run_check(capsys, "main.py:answer")
    assert report["answerer"] == "main.py:answer (function)"
    assert report["deterministic"] == "no"
    assert report["questions"] == "up to 65,536 characters"
    for parameter in ("n: integer = 3", "tags: array of string|null = null", "sure: boolean (required)"):
        assert parameter in report["parameters"].split(", ")
    assert 'lang: "de"|"en" = "en"' in report["parameters"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["main.py:constant"], "yes"),
        (["main.py:constant", "--no-deterministic"], "no (setting)"),
        (["main.py:answer", "--deterministic"], "yes (setting)"),
    ],
)
def test_source_of_deterministic(capsys: Capture, arguments: list[str], text: str) -> None:
    """The report shows if the setting overrides the declaration of the code."""
    assert run_check(capsys, *arguments)["deterministic"] == text


@pytest.mark.parametrize(
    ("arguments", "cache", "single_flight"),
    [
        (["--cache-size=0"], "off: its size is 0", "on: equal concurrent requests share one call"),
        (["--no-deterministic"], NOT_DETERMINISTIC, NOT_DETERMINISTIC),
        (
            ["--cache-size=1536KiB", "--cache-ttl=2"],
            "1.5 MiB; answers for up to 2s, missing answers for 2s",
            "on: equal concurrent requests share one call",
        ),
    ],
)
def test_cache_and_single_flight(capsys: Capture, arguments: list[str], cache: str, single_flight: str) -> None:
    """The report shows size and TTL of the cache, or why it is off, and whether concurrent requests share a call."""
    report = run_check(capsys, "main.py:constant", *arguments)
    assert (report["cache"], report["single flight"]) == (cache, single_flight)


def test_tokens(folder: Path, capsys: Capture) -> None:
    """The report shows the number of tokens and the names of clients, or that an empty file rejects all requests."""
    file = folder / "tokens"
    file.write_text("".join(f"{generate_token(name)[1]}\n" for name in ("bob", "alice", "bob")))
    assert run_check(capsys, "book.yaml", "--tokens-file=tokens")["tokens"] == "3 for alice, bob"
    report = run_check(capsys, "book.yaml", "--tokens-file=tokens", "--docs-require-token")
    assert report["tokens"] == "3 for alice, bob; also required for /docs"
    file.write_text("".join(f"{generate_token(f'n{number:02}')[1]}\n" for number in range(12)))
    assert run_check(capsys, "book.yaml", "--tokens-file=tokens")["tokens"].endswith(", n08, n09 …")
    file.write_text("")
    report = run_check(capsys, "book.yaml", "--tokens-file=tokens")
    assert report["tokens"] == "none in the file: all requests will be rejected"


def test_certificate(folder: Path, capsys: Capture) -> None:
    """With a certificate the address is https and its expiry is shown; a separate ops port uses http."""
    files = write_certificate(folder, issue_certificate(not_after=datetime.now(UTC) + timedelta(days=9, hours=1)))
    flags = ("book.yaml", f"--tls-cert={files.cert}", f"--tls-key={files.key}")
    report = run_check(capsys, *flags)
    assert report["TLS"].startswith(f"{files.cert}, valid until ")
    assert report["TLS"].endswith(", 9 days")
    assert (report["address"], report["metrics"]) == ("https://127.0.0.1:2024", "https://127.0.0.1:2024/metrics")
    assert run_check(capsys, *flags, "--ops-port=9000")["metrics"] == "http://127.0.0.1:9000/metrics"
    write_certificate(folder, issue_certificate(not_before=utc_date(2019), not_after=utc_date(2020)))
    assert run_check(capsys, *flags)["TLS"] == f"{files.cert}, expired on 2020-01-01"


def test_rate_limit_and_redis(capsys: Capture) -> None:
    """The report shows the rate limit, the trusted proxies, and the URL of Redis without its password."""
    report = run_check(capsys, "book.yaml", "--rate-limit=1000/m")
    assert report["rate limit"] == "1000/m per client, bursts of up to 1,000; trusted proxies: none"
    proxies = ("--trusted-proxies=10.0.0.0/8,192.0.2.1", "--redis-url=redis://u:s3cret@host:6379/1")
    report = run_check(capsys, "book.yaml", "--rate-limit=5/s", "--rate-burst=9", *proxies)
    assert report["rate limit"] == "5/s per client, bursts of up to 9; trusted proxies: 10.0.0.0/8, 192.0.2.1/32"
    assert report["redis"] == "redis://host:6379/1 (not contacted by this check)"


def test_addresses(capsys: Capture) -> None:
    """The report shows the URLs with host, port and prefix; a port that is chosen at startup has no number."""
    report = run_check(capsys, "--host=::1", "--port=8080", "--ops-port=0", "--prefix=/answers", "book.yaml")
    assert report["address"] == "http://[::1]:8080/answers"
    assert report["metrics"] == "http://[::1]:<free port>/metrics"
    assert run_check(capsys, "book.yaml", "--question-max-length", "7")["questions"] == "up to 7 characters"


@pytest.mark.parametrize("command", ["check", "openapi"])
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["main.py:anwser"], "main.py does not contain 'anwser'"),
        (["absent.py:answer"], "absent.py"),
        (["broken.yaml"], "broken.yaml:1"),
        (["--port", "x"], "--port='x'"),
    ],
)
def test_startup_error_exits_with_2(
    folder: Path, capsys: Capture, command: str, arguments: list[str], error: str
) -> None:
    """Errors that would prevent the start are printed to standard error as by `serve`; standard output is empty."""
    (folder / "broken.yaml").write_text("- ask: hello\n  reply: Hi\n")
    assert main([command, *arguments]) == 2
    output = capsys.readouterr()
    assert not output.out
    assert error in output.err
    assert "Traceback" not in output.err


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--tokens-file=absent"], "absent: no such file or directory"),
        (["--tls-cert=absent", "--tls-key=absent"], "--tls-cert=absent: cannot be read"),
    ],
)
def test_missing_files_exit_with_2(capsys: Capture, arguments: list[str], error: str) -> None:
    """A missing token file or certificate exits with 2, as `serve` would."""
    assert main(["check", "book.yaml", *arguments]) == 2
    assert error in capsys.readouterr().err


@pytest.mark.parametrize("command", ["check", "openapi"])
def test_unknown_variable_is_a_warning(capsys: Capture, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """An unknown ASKD_ variable causes a warning with the most similar name, not an error."""
    monkeypatch.setenv("ASKD_PROT", "1")
    assert main([command, "book.yaml"]) == 0
    assert capsys.readouterr().err == "askd: ASKD_PROT is not a setting and is ignored: did you mean ASKD_PORT?\n"


def test_openapi_prints_only_json(capsys: Capture) -> None:
    """Standard output is the OpenAPI document, even if the code prints text; two runs give the same bytes."""
    assert main(["openapi", "main.py:answer"]) == 0
    first = capsys.readouterr()
    assert main(["openapi", "main.py:answer"]) == 0
    assert capsys.readouterr().out == first.out
    assert "from the import" in first.err
    document = json.loads(first.out)
    assert document["openapi"].startswith("3.1")
    names = {parameter.get("name") for parameter in document["paths"]["/ask"]["get"]["parameters"]}
    assert {"q", "n", "lang", "tags", "sure"} <= names


ASKED = {
    "text": ("def answer(text): return text.upper()", 0, r'200 in [\d.]+ ms, text: \{"answer":"HI"\}'),
    "JSON": ("def answer(n: int): return [n]", 2, r"400: `n`: expected `int`, got 'hi'."),
    "fields": (
        "def answer(text): return {'answer': [text], 'n': 1}",
        0,
        r'200 in [\d.]+ ms, JSON \(list\) with the fields n: \{"answer":\["hi"\],"n":1\}',
    ),
    "stream": ("def answer(text): yield from 'ab'", 0, r"200 in [\d.]+ ms, text, streamed in 2 pieces: .*"),
    "no answer": ("def answer(text): return None", 1, r"404 in [\d.]+ ms: no answer"),
    "failure": (
        "def answer(text):\n    return 1 / 0",
        3,
        r"500: asked.py:2: ZeroDivisionError: division by zero",
    ),
    "no JSON": (
        "def answer(text): return object()",
        3,
        r"500: TypeError: the function returned object, which cannot be encoded as JSON: .*",
    ),
    "required parameter": ("def answer(text, n: int): return text", 2, r"400: `n` is missing."),
}


@pytest.mark.parametrize(("code", "exit_code", "result"), ASKED.values(), ids=ASKED.keys())
def test_ask(folder: Path, capsys: Capture, code: str, exit_code: int, result: str) -> None:
    """`--ask` asks a question and reports what came back; the exit code shows if it was an answer."""
    (folder / "asked.py").write_text(code)
    sys.modules.pop("asked", None)
    assert main(["check", "asked.py:answer", "--ask", "hi"]) == exit_code
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("asked ")]
    assert re.fullmatch(rf"asked\s+{result}", line), line


def test_notes(folder: Path, capsys: Capture) -> None:
    """The report notes parameters that a request cannot set."""
    (folder / "noted.py").write_text("def answer(text, client=object()): return text")
    assert run_check(capsys, "noted.py:answer")["note"] == "`client` keeps its default: a request cannot carry its type"
