"""`askd check` and `askd openapi`: with real answerers, up to the exit code."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.cli import main
from service.guards.tokens import pair
from tests.certificates import at, issue, write

Capture = pytest.CaptureFixture[str]

MAIN = '''
from typing import Literal

print("from the import")

def answer(text: str, n: int = 3, *, lang: Literal["en", "de"] = "en", tags: list[str] | None = None, sure: bool):
    """Say it."""
    return text

def constant(text):
    return "always"

constant.deterministic = True
'''


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a module and a book, and with the default settings."""
    (tmp_path / "main.py").write_text(MAIN)
    (tmp_path / "book.yaml").write_text("- ask: hello\n  answer: Hi\n- ask: bye\n  answer: Ciao\n")
    monkeypatch.chdir(tmp_path)
    for name in ("ASKD_ANSWERER", "ASKD_HOST", "ASKD_PORT", "ASKD_OPS_PORT", "ASKD_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def checked(capsys: Capture, *arguments: str) -> dict[str, str]:
    """What `askd check` says, by label."""
    assert main(["check", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    return {line[:14].strip(): line[14:].strip() for line in lines}


def test_a_book_is_described(capsys: Capture) -> None:
    """For a book: how many entries, in which version, and how long a question may be."""
    found = checked(capsys, "book.yaml")
    assert found.pop("version")
    assert found == {
        "answerer": "book.yaml (book)",
        "entries": "2",
        "deterministic": "yes",
        "cache": "64 MiB, answers until the version changes, no-answers for 5s",
        "single flight": "the same question asked at once is one call",
        "streams": "no",
        "deadline": "10s for an answer, 600s for a whole stream; a client may ask for less",
        "limiter": "finds how many may be in the code at once; 64 may wait, 0.1s if that lasts; beyond that 503",
        "questions": "up to 1,000 characters",
        "tokens": "none, anybody may ask",
        "connections": "up to 1,000; closed where headers take 10s, a body 5s, a client takes nothing for 20s, idle "
        "for 75s, with the next answer after 300s",
        "address": "http://127.0.0.1:2024",
        "ops endpoints": "http://127.0.0.1:2024/metrics",
        "drain": "2s still accepting, 15s for what is in flight, 5s to close the answerer, 2s to flush; allow 29s "
        "before a kill",
    }


def test_a_function_is_described_with_its_parameters(capsys: Capture) -> None:
    """For a function: each parameter with its type and default; what it prints stays out of the report."""
    found = checked(capsys, "main.py:answer")
    assert found["answerer"] == "main.py:answer (function)"
    assert found["deterministic"] == "no"
    assert found["questions"] == "up to 65,536 characters"
    for parameter in ("n: integer = 3", "tags: array of string|null = null", "sure: boolean (required)"):
        assert parameter in found["parameters"].split(", ")
    assert 'lang: "de"|"en" = "en"' in found["parameters"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["main.py:constant"], "yes"),
        (["main.py:constant", "--no-deterministic"], "no, as the settings say"),
        (["main.py:answer", "--deterministic"], "yes, as the settings say"),
    ],
)
def test_deterministic_is_what_settings_or_code_declare(capsys: Capture, arguments: list[str], said: str) -> None:
    """Whose word it is that the same question gets the same answer is said."""
    assert checked(capsys, *arguments)["deterministic"] == said


@pytest.mark.parametrize(
    ("arguments", "cache", "flight"),
    [
        (["--cache-size=0"], "off, as its size is 0", "the same question asked at once is one call"),
        (["--no-deterministic"], "off, as answers may differ", "off, as answers may differ"),
        (
            ["--cache-size=1536KiB", "--cache-ttl=2"],
            "1.5 MiB, answers for 2s at most, no-answers for 2s",
            "the same question asked at once is one call",
        ),
    ],
)
def test_what_is_kept_and_for_how_long(capsys: Capture, arguments: list[str], cache: str, flight: str) -> None:
    """Room and times of the cache are said, or why nothing is kept; and whether the same questions share a call."""
    found = checked(capsys, "main.py:constant", *arguments)
    assert (found["cache"], found["single flight"]) == (cache, flight)


def test_who_may_ask_is_told(folder: Path, capsys: Capture) -> None:
    """How many tokens there are and whose, never a hash; an empty file is told as what it means."""
    file = folder / "tokens"
    file.write_text("".join(f"{pair(name)[1]}\n" for name in ("bob", "alice", "bob")))
    assert checked(capsys, "book.yaml", "--tokens-file=tokens")["tokens"] == "3 of alice, bob"
    found = checked(capsys, "book.yaml", "--tokens-file=tokens", "--docs-need-token")
    assert found["tokens"] == "3 of alice, bob; asked for at /docs too"
    file.write_text("".join(f"{pair(f'n{number:02}')[1]}\n" for number in range(12)))
    assert checked(capsys, "book.yaml", "--tokens-file=tokens")["tokens"].endswith(", n08, n09 …")
    file.write_text("")
    assert checked(capsys, "book.yaml", "--tokens-file=tokens")["tokens"] == "none is known, nobody may ask"


def test_the_certificate_is_told(folder: Path, capsys: Capture) -> None:
    """With a certificate the address is https, and its last day is told; ops endpoints on their own port are http."""
    files = write(folder, issue(ends=datetime.now(UTC) + timedelta(days=9, hours=1)))
    flags = ("book.yaml", f"--tls-cert={files.cert}", f"--tls-key={files.key}")
    found = checked(capsys, *flags)
    assert found["TLS"].startswith(f"{files.cert}, valid until ")
    assert found["TLS"].endswith(", 9 days")
    assert (found["address"], found["ops endpoints"]) == ("https://127.0.0.1:2024", "https://127.0.0.1:2024/metrics")
    assert checked(capsys, *flags, "--ops-port=9000")["ops endpoints"] == "http://127.0.0.1:9000/metrics"
    write(folder, issue(begins=at(2019), ends=at(2020)))
    assert checked(capsys, *flags)["TLS"] == f"{files.cert}, has expired on 2020-01-01"


def test_the_rate_is_described(capsys: Capture) -> None:
    """How often a client may ask, and whose word on its address is taken."""


def test_rate_and_redis_are_described(capsys: Capture) -> None:
    """How often a client may ask, whose word on its address is taken, and which Redis is shared, secrets apart."""
    found = checked(capsys, "book.yaml", "--rate=1000/m")
    assert found["rate"] == "1000/m for each client, up to 1,000 at once; no proxy is believed"
    proxies = ("--trusted-proxies=10.0.0.0/8,192.0.2.1", "--redis-url=redis://u:s3cret@host:6379/1")
    found = checked(capsys, "book.yaml", "--rate=5/s", "--rate-burst=9", *proxies)
    assert found["rate"] == "5/s for each client, up to 9 at once; proxies in 10.0.0.0/8, 192.0.2.1/32 are believed"
    assert found["redis"] == ("redis://host:6379/1, looked for once it runs; without it each replica is on its own")


def test_addresses_are_those_that_would_be_listened_on(capsys: Capture) -> None:
    """Host, ports and prefix come together as the URLs to use; a port that is chosen at the start has no number."""
    found = checked(capsys, "--host=::1", "--port=8080", "--ops-port=0", "--prefix=/answers", "book.yaml")
    assert found["address"] == "http://[::1]:8080/answers"
    assert found["ops endpoints"] == "http://[::1]:<a free port>/metrics"
    assert checked(capsys, "book.yaml", "--question-max-length", "7")["questions"] == "up to 7 characters"


@pytest.mark.parametrize("command", ["check", "openapi"])
@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["main.py:anwser"], "main.py has no 'anwser'"),
        (["absent.py:answer"], "absent.py"),
        (["broken.yaml"], "broken.yaml:2"),
        (["--port", "x"], "--port='x'"),
    ],
)
def test_what_would_not_start_exits_2(
    folder: Path, capsys: Capture, command: str, arguments: list[str], fault: str
) -> None:
    """A fault that would stop the start is told in the same words, on standard error; standard output is empty."""
    (folder / "broken.yaml").write_text("- ask: hello\n  reply: Hi\n")
    assert main([command, *arguments]) == 2
    said = capsys.readouterr()
    assert not said.out
    assert fault in said.err
    assert "Traceback" not in said.err


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--tokens-file=absent"], "absent: there is no such file or folder"),
        (["--tls-cert=absent", "--tls-key=absent"], "--tls-cert=absent: cannot be read"),
    ],
)
def test_who_may_ask_is_checked(capsys: Capture, arguments: list[str], fault: str) -> None:
    """A file of tokens or a certificate that would stop the start exits 2 in the same words."""
    assert main(["check", "book.yaml", *arguments]) == 2
    assert fault in capsys.readouterr().err


@pytest.mark.parametrize("command", ["check", "openapi"])
def test_unknown_variables_are_warned_of(capsys: Capture, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """A variable that is no setting is named with the nearest one, and stops nothing."""
    monkeypatch.setenv("ASKD_PROT", "1")
    assert main([command, "book.yaml"]) == 0
    assert capsys.readouterr().err == "askd: ASKD_PROT is no setting and does nothing: did you mean ASKD_PORT?\n"


def test_the_contract_is_json_and_nothing_else(capsys: Capture) -> None:
    """Standard output is the OpenAPI document, whatever the code prints; two runs are equal to the byte."""
    assert main(["openapi", "main.py:answer"]) == 0
    first = capsys.readouterr()
    assert main(["openapi", "main.py:answer"]) == 0
    assert capsys.readouterr().out == first.out
    assert "from the import" in first.err
    document = json.loads(first.out)
    assert document["openapi"].startswith("3.1")
    names = {parameter.get("name") for parameter in document["paths"]["/ask"]["get"]["parameters"]}
    assert {"q", "n", "lang", "tags", "sure"} <= names
