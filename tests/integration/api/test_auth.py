"""Access: what is asked of a request, what is told to one that is refused, and what never shows."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from service.errors import SettingsError, StartupError, Unauthorized
from service.guards.tokens import Tokens, pair
from service.models import Answer, Question
from service.settings import Settings
from service.telemetry.exchange import Exchange
from service.web.access import Access, Withheld, scoped
from service.web.admission import Admission
from service.web.parse import THREAD
from tests.fakes import Upper
from tests.web.conftest import Client, Log, Serve

TOKEN, LINE = pair("alice")
OTHER, OTHER_LINE = pair("bob")
WRONG = pair("alice")[0]
ALICE, BOB = {"Authorization": f"Bearer {TOKEN}"}, {"Authorization": f"Bearer {OTHER}"}


@pytest.fixture
def file(tmp_path: Path) -> str:
    """A file with the tokens of two."""
    path = tmp_path / "tokens"
    path.write_text(f"{LINE}\n{OTHER_LINE}\n")
    return str(path)


def access(file: str) -> Access:
    """What lets them in."""
    return Access(Tokens(file))


@pytest.mark.parametrize("header", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"BEARER   {TOKEN}"])
def test_a_known_token_is_let_in(file: str, header: str) -> None:
    """The scheme is found in any case, as HTTP has it; a plain mapping of headers will do."""
    assert access(file).caller({"Authorization": header}) == "alice"


NO_TOKEN = [None, "", "Basic YWxpY2U6eA==", f"Token {TOKEN}", TOKEN, f"Bearer{TOKEN}"]
BAD_TOKEN = [
    f"Bearer {WRONG}",
    "Bearer",
    "Bearer ",
    f"Bearer {TOKEN} ",
    f"Bearer {TOKEN},",
    f"Bearer {TOKEN} x",
    f'Bearer "{TOKEN}"',
    f"Bearer {TOKEN}=",
    f"Bearer\t{TOKEN}",
    f"Bearer {TOKEN.upper()}",
    f"Bearer {TOKEN[:-1]}",
    "Bearer ä",
    f"Bearer {'x' * 513}",
]


@pytest.mark.parametrize("header", NO_TOKEN)
def test_without_a_token_the_challenge_has_no_error(file: str, header: str | None) -> None:
    """No header, or one of another scheme, is told which one is wanted (RFC 6750, section 3.1)."""
    with pytest.raises(Unauthorized) as raised:
        access(file).caller({} if header is None else {"Authorization": header})
    assert raised.value.headers == {"WWW-Authenticate": 'Bearer realm="askd"'}


@pytest.mark.parametrize("header", BAD_TOKEN)
def test_a_token_that_is_not_known_is_told_so(file: str, header: str) -> None:
    """A token that is unknown or malformed is an error of its own, and is not shown."""
    tokens = Tokens(file)
    with pytest.raises(Unauthorized) as raised:
        Access(tokens).caller({"Authorization": header})
    expected = header.split(" ", maxsplit=1)[0].lower() == "bearer"
    assert ('error="invalid_token"' in raised.value.headers["WWW-Authenticate"]) == expected
    assert (WRONG in raised.value.detail, TOKEN in raised.value.detail) == (False, False)
    assert tokens.statistics().refused == {"missing": int(not expected), "unknown": int(expected)}
    assert set(tokens.statistics().requests.values()) == {0}


@given(st.text(max_size=60) | st.text(max_size=60).map("Bearer {}".format))
def test_no_header_breaks_it(tmp_path_factory: pytest.TempPathFactory, header: str) -> None:
    """Whatever the header is, it is refused as such."""
    path = tmp_path_factory.getbasetemp() / "tokens-of-alice"
    path.write_text(LINE)
    with pytest.raises(Unauthorized):
        access(str(path)).caller({"Authorization": header})


def test_two_headers_are_refused(file: str) -> None:
    """What something before askd has checked may be the other one."""
    headers = CIMultiDict([("Authorization", f"Bearer {TOKEN}"), ("authorization", f"Bearer {OTHER}")])
    with pytest.raises(Unauthorized, match="more than one"):
        access(file).caller(headers)


def test_admission_notes_who_and_how_long(file: str) -> None:
    """The exchange has the name and the time that it took, the time also where it was refused."""
    admission = Admission(tokens=Tokens(file))
    exchange = Exchange(id="a", method="GET", route="/ask", arrived=0.0)
    assert admission.admit(ALICE, exchange) is None
    assert exchange.caller == "alice"
    assert exchange.stages.auth is not None
    refused = Exchange(id="b", method="GET", route="/ask", arrived=0.0)
    with pytest.raises(Unauthorized):
        admission.admit({}, refused)
    assert (refused.caller, refused.stages.auth is not None) == ("", True)


def test_without_tokens_everybody_is_let_in() -> None:
    """Nothing is looked at, and nothing noted."""
    exchange = Exchange(id="a", method="GET", route="/ask", arrived=0.0)
    assert Admission().admit({"Authorization": "Bearer x"}, exchange) is None
    assert (exchange.caller, exchange.stages.auth) == ("", None)


ASKING: dict[str, tuple[str, dict[str, Any]]] = {
    "get": ("GET", {"params": {"q": "hello"}}),
    "head": ("HEAD", {"params": {"q": "hello"}}),
    "post": ("POST", {"json": {"q": "hello"}}),
    "stream": ("GET", {"params": {"q": "hello"}, "headers": {"Accept": "text/event-stream"}}),
    "malformed": ("GET", {"params": {"nothing": "asked"}}),
}


@pytest.mark.parametrize(("method", "request_"), ASKING.values(), ids=ASKING)
async def test_questions_need_a_token(serve: Serve, file: str, method: str, request_: dict[str, Any]) -> None:
    """However it is asked, a question without a token is a 401 before anything of it is read; with one it is not."""
    upper = Upper()
    client = await serve(upper, tokens_file=file)
    response = await client.request(method, "/ask", **request_)
    assert (response.status, response.headers["WWW-Authenticate"]) == (401, 'Bearer realm="askd"')
    assert response.content_type == "application/problem+json"
    headers = {**request_.get("headers", {}), **ALICE}
    assert (await client.request(method, "/ask", **{**request_, "headers": headers})).status in {200, 400}


async def test_a_refused_body_is_not_waited_for(serve: Serve, file: str) -> None:
    """A body that nobody will read closes the connection."""
    client = await serve(tokens_file=file)
    response = await client.post("/ask", data=b"x" * 60_000, headers={"Content-Type": "application/json"})
    assert response.status == 401


OPEN = ["/livez", "/readyz", "/startupz", "/healthz", "/metrics"]


@pytest.mark.parametrize("path", [*OPEN, "/", "/docs", "/openapi.json"])
async def test_ops_endpoints_and_pages_never_ask(serve: Serve, file: str, path: str) -> None:
    """Probes, metrics and, unless it is wanted, the pages are for everybody."""
    client = await serve(tokens_file=file)
    for accept in ("*/*", "text/html"):
        assert (await client.get(path, headers={"Accept": accept})).status == 200


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json"])
async def test_pages_ask_where_it_is_wanted(serve: Serve, file: str, path: str) -> None:
    """With the setting pages need a token too, below a prefix as well; ops endpoints and what pages load do not."""
    client = await serve(tokens_file=file, docs_need_token="true", prefix="/answers")
    for accept in ("*/*", "text/html"):
        assert (await client.get(f"/answers{path}", headers={"Accept": accept})).status == 401
        assert (await client.get(f"/answers{path}", headers={"Accept": accept, **ALICE})).status == 200
    assert {(await client.get(each)).status for each in OPEN} == {200}


async def test_a_preflight_is_never_asked(serve: Serve, file: str) -> None:
    """Browsers send no token with a preflight, and pages may read the 401 itself."""
    client = await serve(tokens_file=file, docs_need_token="true", cors_origins="https://example.org")
    asked = {"Origin": "https://example.org", "Access-Control-Request-Method": "GET"}
    for path in ("/ask", "/", "/docs"):
        preflight = await client.options(path, headers={**asked, "Access-Control-Request-Headers": "authorization"})
        assert preflight.status == 204
        assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
    refused = await client.get("/ask?q=hello", headers={"Origin": "https://example.org"})
    assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (401, "https://example.org")


async def test_names_are_told_and_tokens_are_not(serve: Serve, file: str, log: Log) -> None:
    """The log line and the metrics name who asked; no token, known or not, shows anywhere."""
    client = await serve(tokens_file=file, log_questions="true")
    for headers in (ALICE, ALICE, BOB, {"Authorization": f"Bearer {WRONG}"}, {}):
        await (await client.get("/ask?q=again", headers=headers)).read()
    lines = log.lines("exchange")
    assert [line.get("caller") for line in lines] == ["alice", "alice", "bob", None, None]
    assert all(line["auth_ms"] >= 0 for line in lines)
    scrape = await (await client.get("/metrics")).text()
    assert 'askd_caller_requests_total{caller="alice"} 2.0' in scrape
    assert 'askd_caller_requests_total{caller="bob"} 1.0' in scrape
    assert 'askd_unauthorized_total{token="missing"} 1.0' in scrape
    assert 'askd_unauthorized_total{token="unknown"} 1.0' in scrape
    assert "askd_tokens 2.0" in scrape
    for token in (TOKEN, OTHER, WRONG):
        assert token not in log.text + scrape


async def test_the_code_knows_the_name_and_not_the_token(serve: Serve, file: str) -> None:
    """A question has its caller's name, and all its headers but the token."""
    upper = Upper()
    client = await serve(upper, tokens_file=file)
    await client.get("/ask?q=x", headers={**ALICE, "X-Mine": "y"})
    (question,) = upper.asked
    assert (question.caller, question.headers["x-mine"]) == ("alice", "y")
    assert "Authorization" not in question.headers
    assert "authorization" not in [name.lower() for name in question.headers]
    assert TOKEN not in str(dict(question.headers))


async def test_without_tokens_the_header_is_the_codes(serve: Serve) -> None:
    """Where askd asks for no token, what stands in the header is between client and code."""
    upper = Upper()
    await (await serve(upper)).get("/ask?q=x", headers=ALICE)
    assert (upper.asked[0].caller, upper.asked[0].headers["authorization"]) == ("", ALICE["Authorization"])


def test_withheld_headers_are_a_mapping() -> None:
    """What is left of the headers is counted and found as before."""
    headers = Withheld(CIMultiDict([("AUTHORIZATION", "x"), ("Accept", "y")]))
    assert (len(headers), list(headers), headers.get("accept"), headers.get("authorization")) == (
        1,
        ["Accept"],
        "y",
        None,
    )


class Remembering(Upper):
    """Says how often something was said in a thread."""

    conversational = True

    def __init__(self) -> None:
        super().__init__()
        self.said: dict[str | None, int] = {}

    def at_hand(self, question: Question) -> Answer | None:
        """Nothing is."""
        return None

    async def answer(self, question: Question) -> Answer:
        """Count."""
        self.said[question.thread] = self.said.get(question.thread, 0) + 1
        return Answer(str(self.said[question.thread]))


async def said(client: Client, thread: str, headers: dict[str, str]) -> str:
    """Say something in a thread; return how often that was done."""
    response = await client.get("/ask", params={"q": "hi", "thread": thread}, headers=headers)
    text: str = (await response.json())["answer"]
    return text


async def test_callers_do_not_share_threads(serve: Serve, file: str) -> None:
    """Two who name the same thread talk in two, also where one names it as the other's would be called."""
    client = await serve(Remembering(), tokens_file=file)
    assert [await said(client, "a", headers) for headers in (ALICE, ALICE, BOB)] == ["1", "2", "1"]
    assert await said(client, "alice/a", BOB) == "1"
    assert await said(client, "a", ALICE) == "3"


names = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)
threads = st.from_regex(THREAD, fullmatch=True)


@given(names, threads, names, threads)
def test_a_scope_cannot_be_forged(name: str, thread: str, other: str, guess: str) -> None:
    """Whatever two callers call their threads, neither reaches the other's; each is one that answerers take."""
    ours, theirs = scoped(thread, name), scoped(guess, other)
    assert (ours == theirs) == ((name, thread) == (other, guess))
    assert THREAD.fullmatch(ours)
    assert ours == scoped(thread, name)


def test_a_long_thread_keeps_its_scope() -> None:
    """Where name and thread together are too long for a thread's name, they are still told apart."""
    one, two = (scoped(letter * 256, "a" * 64) for letter in "xy")
    assert one != two
    assert max(len(one), len(two)) <= 256


async def test_a_faulty_file_does_not_start(serve: Serve, tmp_path: Path) -> None:
    """A file that is faulty or absent stops the start."""
    with pytest.raises(StartupError, match="there is no such file"):
        await serve(tokens_file=str(tmp_path / "absent"))


def test_a_setting_that_would_do_nothing_is_refused(file: str) -> None:
    """Pages cannot ask for a token that nobody has."""
    with pytest.raises(SettingsError, match="--docs-need-token asks for nothing without --tokens-file"):
        Settings.load({"docs_need_token": "true"}, {})
    assert Settings.load({"docs_need_token": "true", "tokens_file": file}, {}).docs_need_token
