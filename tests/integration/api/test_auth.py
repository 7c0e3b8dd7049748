"""Bearer token authentication: which requests need a token, and what responses and logs reveal."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from askd.api.admission import AdmissionControl, Authenticator, RedactedHeaders, scope_thread_id
from askd.api.request_values import THREAD_ID_PATTERN
from askd.config import Settings
from askd.context import RequestContext
from askd.errors import SettingsError, StartupError, Unauthorized
from askd.guards.tokens import TokenStore
from askd.models import Answer, Question
from tests.support.app_fixtures import Client, Log, ServeApp
from tests.support.fakes import UppercaseAnswerer

# Constant, so that every pytest-xdist worker collects the same test ids.
TOKEN, OTHER, WRONG = (f"askd_{letter * 43}" for letter in "abc")
LINE = f"alice: {hashlib.sha256(TOKEN.encode()).hexdigest()}"
OTHER_LINE = f"bob: {hashlib.sha256(OTHER.encode()).hexdigest()}"
ALICE, BOB = {"Authorization": f"Bearer {TOKEN}"}, {"Authorization": f"Bearer {OTHER}"}


@pytest.fixture
def tokens_file(tmp_path: Path) -> str:
    """Return the path of a file with the tokens of alice and bob."""
    path = tmp_path / "tokens"
    path.write_text(f"{LINE}\n{OTHER_LINE}\n")
    return str(path)


def authenticator(tokens_file: str) -> Authenticator:
    """Return an authenticator with these tokens."""
    return Authenticator(TokenStore(tokens_file))


@pytest.mark.parametrize("header", [f"Bearer {TOKEN}", f"bearer {TOKEN}", f"BEARER   {TOKEN}"])
def test_valid_token_identifies_caller(tokens_file: str, header: str) -> None:
    """The scheme is case-insensitive, and headers may be a plain mapping."""
    assert authenticator(tokens_file).identify_caller({"Authorization": header}) == "alice"


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
def test_challenge_without_token_has_no_error_code(tokens_file: str, header: str | None) -> None:
    """A missing token or another scheme gets a plain challenge (RFC 6750, section 3.1)."""
    with pytest.raises(Unauthorized) as raised:
        authenticator(tokens_file).identify_caller({} if header is None else {"Authorization": header})
    assert raised.value.headers == {"WWW-Authenticate": 'Bearer realm="askd"'}


@pytest.mark.parametrize("header", BAD_TOKEN)
def test_invalid_token_is_rejected_and_not_repeated(tokens_file: str, header: str) -> None:
    """An unknown or malformed token gets `invalid_token`; the response does not contain the token."""
    tokens = TokenStore(tokens_file)
    with pytest.raises(Unauthorized) as raised:
        Authenticator(tokens).identify_caller({"Authorization": header})
    is_bearer = header.split(" ", maxsplit=1)[0].lower() == "bearer"
    assert ('error="invalid_token"' in raised.value.headers["WWW-Authenticate"]) == is_bearer
    assert (WRONG in raised.value.detail, TOKEN in raised.value.detail) == (False, False)
    assert tokens.statistics().rejected == {"missing": int(not is_bearer), "unknown": int(is_bearer)}
    assert set(tokens.statistics().requests.values()) == {0}


@given(st.text(max_size=60) | st.text(max_size=60).map("Bearer {}".format))
def test_any_authorization_header_is_rejected(tmp_path_factory: pytest.TempPathFactory, header: str) -> None:
    """Arbitrary header values raise nothing but Unauthorized."""
    path = tmp_path_factory.getbasetemp() / "tokens-of-alice"
    path.write_text(LINE)
    with pytest.raises(Unauthorized):
        authenticator(str(path)).identify_caller({"Authorization": header})


def test_repeated_authorization_header_is_rejected(tokens_file: str) -> None:
    """A proxy in front of askd may have checked the other header."""
    headers = CIMultiDict([("Authorization", f"Bearer {TOKEN}"), ("authorization", f"Bearer {OTHER}")])
    with pytest.raises(Unauthorized, match="more than one"):
        authenticator(tokens_file).identify_caller(headers)


def test_admission_records_caller_and_duration(tokens_file: str) -> None:
    """The request context gets the caller, and the duration even if the request is rejected."""
    admission = AdmissionControl(tokens=TokenStore(tokens_file))
    context = RequestContext(request_id="a", method="GET", route="/ask", arrived_at=0.0)
    assert admission.check(ALICE, context) is None
    assert context.caller == "alice"
    assert context.stages.auth is not None
    rejected = RequestContext(request_id="b", method="GET", route="/ask", arrived_at=0.0)
    with pytest.raises(Unauthorized):
        admission.check({}, rejected)
    assert (rejected.caller, rejected.stages.auth is not None) == ("", True)


def test_admission_without_tokens_does_nothing() -> None:
    """Without tokens, the header is ignored and nothing is recorded."""
    context = RequestContext(request_id="a", method="GET", route="/ask", arrived_at=0.0)
    assert AdmissionControl().check({"Authorization": "Bearer x"}, context) is None
    assert (context.caller, context.stages.auth) == ("", None)


ASK_REQUESTS: dict[str, tuple[str, dict[str, Any]]] = {
    "get": ("GET", {"params": {"q": "hello"}}),
    "head": ("HEAD", {"params": {"q": "hello"}}),
    "post": ("POST", {"json": {"q": "hello"}}),
    "stream": ("GET", {"params": {"q": "hello"}, "headers": {"Accept": "text/event-stream"}}),
    "malformed": ("GET", {"params": {"unrelated": "x"}}),
}


@pytest.mark.parametrize(("method", "request_"), ASK_REQUESTS.values(), ids=ASK_REQUESTS)
async def test_ask_requires_token(serve: ServeApp, tokens_file: str, method: str, request_: dict[str, Any]) -> None:
    """Every request to `/ask` without a token gets a 401 before it is parsed."""
    answerer = UppercaseAnswerer()
    client = await serve(answerer, tokens_file=tokens_file)
    response = await client.request(method, "/ask", **request_)
    assert (response.status, response.headers["WWW-Authenticate"]) == (401, 'Bearer realm="askd"')
    assert response.content_type == "application/problem+json"
    headers = {**request_.get("headers", {}), **ALICE}
    assert (await client.request(method, "/ask", **{**request_, "headers": headers})).status in {200, 400}


async def test_unauthorized_body_is_not_read(serve: ServeApp, tokens_file: str) -> None:
    """A large body without a token gets a 401 at once."""
    client = await serve(tokens_file=tokens_file)
    response = await client.post("/ask", data=b"x" * 60_000, headers={"Content-Type": "application/json"})
    assert response.status == 401


PUBLIC_PATHS = ["/livez", "/readyz", "/startupz", "/healthz", "/metrics"]


@pytest.mark.parametrize("path", [*PUBLIC_PATHS, "/", "/docs", "/openapi.json"])
async def test_ops_endpoints_and_pages_are_public(serve: ServeApp, tokens_file: str, path: str) -> None:
    """Health checks, metrics and (by default) pages need no token."""
    client = await serve(tokens_file=tokens_file)
    for accept in ("*/*", "text/html"):
        assert (await client.get(path, headers={"Accept": accept})).status == 200


@pytest.mark.parametrize("path", ["/", "/docs", "/openapi.json"])
async def test_pages_can_require_token(serve: ServeApp, tokens_file: str, path: str) -> None:
    """`docs_require_token` protects the pages, but not the ops endpoints."""
    client = await serve(tokens_file=tokens_file, docs_require_token="true", prefix="/answers")
    for accept in ("*/*", "text/html"):
        assert (await client.get(f"/answers{path}", headers={"Accept": accept})).status == 401
        assert (await client.get(f"/answers{path}", headers={"Accept": accept, **ALICE})).status == 200
    assert {(await client.get(public_path)).status for public_path in PUBLIC_PATHS} == {200}


async def test_preflight_needs_no_token(serve: ServeApp, tokens_file: str) -> None:
    """Browsers send preflights without a token, and pages of other origins can read the 401."""
    client = await serve(tokens_file=tokens_file, docs_require_token="true", cors_origins="https://example.org")
    preflight_headers = {"Origin": "https://example.org", "Access-Control-Request-Method": "GET"}
    for path in ("/ask", "/", "/docs"):
        preflight = await client.options(
            path, headers={**preflight_headers, "Access-Control-Request-Headers": "authorization"}
        )
        assert preflight.status == 204
        assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
    unauthorized = await client.get("/ask?q=hello", headers={"Origin": "https://example.org"})
    assert (unauthorized.status, unauthorized.headers["Access-Control-Allow-Origin"]) == (401, "https://example.org")


async def test_log_and_metrics_have_callers_but_no_tokens(serve: ServeApp, tokens_file: str, log: Log) -> None:
    """The access log and metrics name the caller; no token appears anywhere."""
    client = await serve(tokens_file=tokens_file, log_questions="true")
    for headers in (ALICE, ALICE, BOB, {"Authorization": f"Bearer {WRONG}"}, {}):
        await (await client.get("/ask?q=again", headers=headers)).read()
    lines = log.lines("request")
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


async def test_answerer_sees_caller_but_not_token(serve: ServeApp, tokens_file: str) -> None:
    """A question has the caller's name and all headers except `Authorization`."""
    answerer = UppercaseAnswerer()
    client = await serve(answerer, tokens_file=tokens_file)
    await client.get("/ask?q=x", headers={**ALICE, "X-Mine": "y"})
    (question,) = answerer.questions
    assert (question.caller, question.headers["x-mine"]) == ("alice", "y")
    assert "Authorization" not in question.headers
    assert "authorization" not in [name.lower() for name in question.headers]
    assert TOKEN not in str(dict(question.headers))


async def test_answerer_sees_authorization_without_tokens(serve: ServeApp) -> None:
    """If askd checks no tokens, the answerer receives `Authorization` unchanged."""
    answerer = UppercaseAnswerer()
    await (await serve(answerer)).get("/ask?q=x", headers=ALICE)
    assert (answerer.questions[0].caller, answerer.questions[0].headers["authorization"]) == (
        "",
        ALICE["Authorization"],
    )


def test_redacted_headers_are_a_mapping() -> None:
    """Length, iteration and lookup agree on the remaining headers."""
    headers = RedactedHeaders(CIMultiDict([("AUTHORIZATION", "x"), ("Accept", "y")]))
    assert (len(headers), list(headers), headers.get("accept"), headers.get("authorization")) == (
        1,
        ["Accept"],
        "y",
        None,
    )


class ThreadCounter(UppercaseAnswerer):
    """Answers with the number of questions in the thread so far."""

    supports_threads = True

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str | None, int] = {}

    def try_immediate(self, question: Question) -> Answer | None:
        """Return None."""
        return None

    async def answer(self, question: Question) -> Answer:
        """Count the question."""
        self.counts[question.thread_id] = self.counts.get(question.thread_id, 0) + 1
        return Answer(str(self.counts[question.thread_id]))


async def ask_in_thread(client: Client, thread: str, headers: dict[str, str]) -> str:
    """Ask in a thread; return the answer."""
    response = await client.get("/ask", params={"q": "hi", "thread": thread}, headers=headers)
    text: str = (await response.json())["answer"]
    return text


async def test_callers_do_not_share_threads(serve: ServeApp, tokens_file: str) -> None:
    """Two callers with the same thread id have separate threads, and neither can guess the other's."""
    client = await serve(ThreadCounter(), tokens_file=tokens_file)
    assert [await ask_in_thread(client, "a", headers) for headers in (ALICE, ALICE, BOB)] == ["1", "2", "1"]
    assert await ask_in_thread(client, "alice/a", BOB) == "1"
    assert await ask_in_thread(client, "a", ALICE) == "3"


names = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)
threads = st.from_regex(THREAD_ID_PATTERN, fullmatch=True)


@given(names, threads, names, threads)
def test_thread_scope_cannot_be_forged(name: str, thread: str, other: str, guess: str) -> None:
    """Different callers never share a scoped thread id, and every scoped id is valid."""
    own_id, other_id = scope_thread_id(thread, name), scope_thread_id(guess, other)
    assert (own_id == other_id) == ((name, thread) == (other, guess))
    assert THREAD_ID_PATTERN.fullmatch(own_id)
    assert own_id == scope_thread_id(thread, name)


def test_long_thread_id_is_hashed() -> None:
    """Thread ids that are too long with the caller's name stay distinct."""
    first, second = (scope_thread_id(letter * 256, "a" * 64) for letter in "xy")
    assert first != second
    assert max(len(first), len(second)) <= 256


async def test_missing_tokens_file_prevents_start(serve: ServeApp, tmp_path: Path) -> None:
    """A missing tokens file is a startup error."""
    with pytest.raises(StartupError, match="no such file"):
        await serve(tokens_file=str(tmp_path / "absent"))


def test_docs_require_token_needs_tokens_file(tokens_file: str) -> None:
    """`docs_require_token` without `tokens_file` is rejected."""
    with pytest.raises(SettingsError, match=r"--docs-require-token .* --tokens-file"):
        Settings.load({"docs_require_token": "true"}, {})
    assert Settings.load({"docs_require_token": "true", "tokens_file": tokens_file}, {}).docs_require_token
