"""`askd ask` and `askd explain` against real sockets, up to the exit code."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.cli import main
from service.holders import listening
from tests.client.served import Served
from tests.fakes import Upper
from tests.telemetry.captured import Captured

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def url() -> Iterator[str]:
    """Serve the fake answerer in a thread."""
    with Captured(), Served(Upper(streams=True)) as served:
        yield served


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Put back what serving within the process sets up."""
    with Captured():
        yield


def test_the_answer_is_printed(url: str, capsys: Capture) -> None:
    """The answer's text alone, or with --json all that came, or what --accept asks for."""
    assert main(["ask", "field", "--url", url]) == 0
    assert main(["ask", "field", "--url", url, "--json"]) == 0
    assert main(["ask", "a b", "--url", url, "--accept", "text/event-stream"]) == 0
    text, whole, stream = capsys.readouterr().out.split("\n", 2)
    assert (text, json.loads(whole)) == ("FIELD", {"answer": "FIELD", "more": 1})
    assert "event: delta" in stream


def test_at_a_terminal_it_is_streamed(url: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person sees the pieces as they come, once, and one line feed at the end."""
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert main(["ask", "a b", "--url", url]) == 0
    assert capsys.readouterr().out == "a b \n"


def test_a_long_question_goes_into_a_body(url: str, capsys: Capture) -> None:
    """What no address holds is sent all the same."""
    assert main(["ask", "x" * 5000, "--url", url]) == 0
    assert capsys.readouterr().out == "X" * 5000 + "\n"


@pytest.mark.parametrize(
    ("question", "code", "said"),
    [
        ("nothing", 1, "did you mean\n        hello"),
        ("boom", 3, "its log has more under id"),
    ],
)
def test_what_has_no_answer_exits_with_its_code(url: str, capsys: Capture, question: str, code: int, said: str) -> None:
    """No answer is 1, with what may have been meant; a server that failed is 3, with the id to look for."""
    assert main(["ask", question, "--url", url]) == code
    assert said in capsys.readouterr().err
    assert main(["ask", question, "--url", url, "--json"]) == code
    assert "problem" in json.loads(capsys.readouterr().out)


def free() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_where_nothing_listens_it_says_what_does(capsys: Capture) -> None:
    """The step, the port, and the listeners of this machine with their processes."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        assert main(["ask", "hello", "--url", f"http://127.0.0.1:{free()}"]) == 3
        assert other.getsockname()[1] in [port for port, _ in listening("127.0.0.1")]
    said = capsys.readouterr().err
    assert said.startswith("askd: connect: nothing listens on port ")
    assert "what listens on this machine" in said


def test_other_failures_name_their_step(url: str, capsys: Capture) -> None:
    """A name that does not resolve, a port without TLS, a path without askd: each is 3 with its step."""
    for address, begins in (
        ("http://nosuch.invalid", "askd: name: nosuch.invalid does not resolve"),
        (url.replace("http", "https"), "askd: TLS: what listens on port"),
        (f"{url}/elsewhere", "askd: path: There is nothing at this path"),
    ):
        assert main(["ask", "hello", "--url", address]) == 3
        assert capsys.readouterr().err.startswith(begins)


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
        ["explain", "x", "--url", "localhost", "--queue", "3"],
        ["explain", "x", "main.py", "--url", "localhost"],
        ["explain", "x", "--repeat", "0"],
    ],
)
def test_bad_use_is_2(capsys: Capture, arguments: list[str]) -> None:
    """What makes no sense is said before anything is sent."""
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("askd: ")


def test_an_exchange_is_explained(url: str, capsys: Capture) -> None:
    """Every step is there and measured, sizes are those of the wire, and the steps fit into the whole."""
    assert main(["explain", "hello", "--url", url, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    names = [step["name"] for step in found["steps"]]
    assert [name for name in names if name in ("connect", "request", "waiting", "answer")] == [
        "connect",
        "request",
        "waiting",
        "answer",
    ]
    assert all(0 <= step["seconds"] <= found["seconds"] for step in found["steps"])
    assert found["sent"] > len("GET /ask?q=hello HTTP/1.1")
    assert found["received"] > len('{"answer":"Hi"}')
    assert (found["status"], found["answer"], found["address"]) == (200, "Hi", url.removeprefix("http://"))


def test_without_a_url_the_answerer_is_served_here(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Code is loaded, asked over a real socket, and what it prints does not mix with the report."""
    (tmp_path / "main.py").write_text("print('noise')\ndef answer(q, loud: bool = False):\n    return q.upper()\n")
    monkeypatch.chdir(tmp_path)
    assert main(["explain", "hello", "main.py:answer", "-p", "loud=true", "-n", "3"]) == 0
    said = capsys.readouterr()
    assert said.out.startswith("hello → asked 3 times: 3 × 200\n")
    assert "  code" in said.out
    assert "noise" not in said.out


def test_a_failing_exchange_is_explained_too(url: str, capsys: Capture) -> None:
    """The timeline of a failure is shown, then what is wrong, and the code is that of the failure."""
    assert main(["explain", "boom", "--url", url]) == 3
    said = capsys.readouterr()
    assert "boom → 500" in said.out
    assert "askd: code: " in said.err
