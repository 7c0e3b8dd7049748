"""`askd ask` and `askd explain` with real sockets."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from askd.cli.main import main
from askd.httpserver.port_owner import listening_ports
from tests.support.fakes import UppercaseAnswerer
from tests.support.log_capture import LogCapture
from tests.support.threaded_server import ThreadedServer

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def url() -> Iterator[str]:
    """URL of a server in a thread, with a fake answerer."""
    with LogCapture(), ThreadedServer(UppercaseAnswerer(supports_streaming=True)) as server_url:
        yield server_url


@pytest.fixture(autouse=True)
def restore_logging() -> Iterator[None]:
    """Restore the log configuration, which serving in the process changes."""
    with LogCapture():
        yield


def test_ask_prints_the_answer(url: str, capsys: Capture) -> None:
    """The text of the answer is printed, or the whole response with --json or --accept."""
    assert main(["ask", "field", "--url", url]) == 0
    assert main(["ask", "field", "--url", url, "--json"]) == 0
    assert main(["ask", "a", "b", "--url", url, "--accept", "text/event-stream"]) == 0
    text, whole, stream = capsys.readouterr().out.split("\n", 2)
    assert 'data: {"answer":"a b "' in stream
    assert (text, json.loads(whole)) == ("FIELD", {"answer": "FIELD", "more": 1})
    assert "event: delta" in stream


def test_ask_streams_on_a_terminal(url: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the deltas are printed as they arrive, followed by one line feed."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["ask", "a b", "--url", url]) == 0
    assert capsys.readouterr().out == "a b \n"


def test_long_question_is_sent_as_a_form(url: str, capsys: Capture) -> None:
    """A question that is too long for a URL is sent in the body."""
    assert main(["ask", "x" * 5000, "--url", url]) == 0
    assert capsys.readouterr().out == "X" * 5000 + "\n"


@pytest.mark.parametrize(
    ("question", "code", "message"),
    [
        ("nothing", 1, "did you mean\n        hello"),
        ("boom", 3, "see request id "),
    ],
)
def test_exit_code_without_an_answer(url: str, capsys: Capture, question: str, code: int, message: str) -> None:
    """A missing answer exits with 1 and suggestions, a server error with 3 and the request id."""
    assert main(["ask", question, "--url", url]) == code
    assert message in capsys.readouterr().err
    assert main(["ask", question, "--url", url, "--json"]) == code
    assert {"step", "error", "hint", "status", "problem"} == set(json.loads(capsys.readouterr().out))


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_refused_connection_lists_listeners(capsys: Capture) -> None:
    """If nothing listens on the port, the error names it and lists the listeners of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert main(["ask", "hello", "--url", f"http://127.0.0.1:{free_port()}"]) == 3
        assert other.getsockname()[1] in [port for port, _ in listening_ports("127.0.0.1")]
    errors = capsys.readouterr().err
    assert errors.startswith("askd: connect: nothing listens on port ")
    assert "listening on this machine:" in errors


def test_failures_name_their_step(url: str, capsys: Capture) -> None:
    """DNS, TLS and path errors exit with 3 and start with the step that failed."""
    for server_url, prefix in (
        ("http://nosuch.invalid", "askd: name: nosuch.invalid does not resolve"),
        (url.replace("http", "https"), "askd: TLS: port "),
        (f"{url}/elsewhere", "askd: path: There is nothing at this path"),
    ):
        assert main(["ask", "hello", "--url", server_url]) == 3
        assert capsys.readouterr().err.startswith(prefix)


@pytest.mark.parametrize(
    "arguments",
    [
        ["ask", ""],
        ["ask", "x", "--url", "ftp://a"],
        ["ask", "x", "--timeout", "soon"],
        ["ask", "x", "--param", "q=y"],
        ["ask", "x", "--token-file", "absent"],
        ["ask", "x", "--ca-file", "absent"],
        ["ask", "x", "--json", "--accept", "text/plain"],
        ["explain", "x", "--token-file", "absent"],
        ["explain", "x", "--url", "localhost", "--queue-size", "3"],
        ["explain", "x", "main.py", "--url", "localhost"],
        ["explain", "x", "--repeat", "0"],
    ],
)
def test_invalid_usage_exits_with_2(capsys: Capture, arguments: list[str]) -> None:
    """Invalid arguments are reported before anything is sent."""
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("askd: ")


def test_explain_measures_every_step(url: str, capsys: Capture) -> None:
    """Every step is measured within the total time, and sizes are bytes on the wire."""
    assert main(["explain", "hello", "--url", url, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    names = [step["name"] for step in report["steps"]]
    assert [name for name in names if name in ("connect", "request", "waiting", "answer")] == [
        "connect",
        "request",
        "waiting",
        "answer",
    ]
    assert all(0 <= step["seconds"] <= report["seconds"] for step in report["steps"])
    assert report["sent"] > len("GET /ask?q=hello HTTP/1.1")
    assert report["received"] > len('{"answer":"Hi"}')
    assert (report["status"], report["answer"], report["address"]) == (200, "Hi", url.removeprefix("http://"))


def test_explain_serves_the_answerer_without_url(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --url the code is loaded and served in the process, and its output is not in the report."""
    (tmp_path / "main.py").write_text("print('noise')\ndef answer(q, loud: bool = False):\n    return q.upper()\n")
    monkeypatch.chdir(tmp_path)
    assert main(["explain", "hello", "main.py:answer", "-p", "loud=true", "-n", "3"]) == 0
    output = capsys.readouterr().out
    assert output.startswith("hello → 3 requests: 3 × 200\n")
    assert "  answerer" in output
    assert "noise" not in output


def test_explain_as_json_has_every_request(url: str, capsys: Capture) -> None:
    """The JSON of several requests has their number, the percentiles of each step, and each request."""
    assert main(["explain", "hello", "--url", url, "-n", "2", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["asked"], report["statuses"], len(report["requests"])) == (2, {"200": 2}, 2)
    assert set(report["steps"]["total"]) == {"p50", "p90", "p99", "p100"}


def test_explain_of_a_failed_request(url: str, capsys: Capture) -> None:
    """A failed request has a timeline, an error, and the exit code of the failure."""
    assert main(["explain", "boom", "--url", url]) == 3
    output = capsys.readouterr()
    assert "boom → 500" in output.out
    assert "askd: answerer: " in output.err
