"""API keys and authorization of requests to the upstream."""

from pathlib import Path

import pytest
from multidict import CIMultiDict

from askd.errors import LoadError, Refused, Unauthorized
from tests.integration.answerers.remote.conftest import LoadAnswerer
from tests.support.fake_langgraph_server import FakeLangGraph, ignore_progress, langgraph_answerer, make_question


async def test_api_key_reload(fake: FakeLangGraph, load: LoadAnswerer, tmp_path: Path) -> None:
    """The API key is sent, and reloaded when the file changes; if the new file is invalid, the old key is used."""
    path = tmp_path / "key"
    path.write_text(" one \n")
    answerer = await load(key=path)

    async def sent_key() -> str:
        await answerer.answer(make_question())
        return fake.request_headers[-1]["x-api-key"]

    watcher = answerer.upstream._api_key_file.file_watcher
    assert await sent_key() == "one"
    for content, key in (("two", "two"), ("", "two"), (None, "two"), ("three", "three")):
        if content is None:
            path.unlink()
        else:
            _replace_file(path, content)
        watcher.check()
        watcher.check()  # the second time, because a change is reported when it has settled
        assert await sent_key() == key


@pytest.mark.parametrize(("content", "header"), [("secret", "Bearer secret"), ("Basic c2VjcmV0\n", "Basic c2VjcmV0")])
async def test_authorization_from_a_file(
    fake: FakeLangGraph, load: LoadAnswerer, tmp_path: Path, content: str, header: str
) -> None:
    """The file has a token, or a scheme and a token, which are sent with each request; the client's is not."""
    path = tmp_path / "token"
    path.write_text(content)
    answerer = await load(authorization=str(path))
    await answerer.answer(make_question(headers=CIMultiDict({"Authorization": "Bearer other"})))
    assert fake.request_headers[-1]["Authorization"] == header


async def test_invalid_authorization_file(base: str, tmp_path: Path) -> None:
    """A file without a usable value fails the load, with the option's name and without the value."""
    path = tmp_path / "token"
    path.write_text("Bearer secret one")
    answerer = langgraph_answerer(base, authorization=str(path))
    with pytest.raises(LoadError, match=f"--upstream-authorization={path}: the key contains whitespace") as caught:
        await answerer.load(ignore_progress)
    assert "secret" not in str(caught.value)
    await answerer.close()


async def test_authorization_of_the_client(fake: FakeLangGraph, load: LoadAnswerer) -> None:
    """With `forward` the client's own header is sent; a server that rejects it is a 401 or 403 for the client."""
    answerer = await load(authorization="forward")
    headers = CIMultiDict({"Authorization": "Bearer mine"})
    await answerer.answer(make_question(headers=headers))
    assert fake.request_headers[-1]["Authorization"] == "Bearer mine"
    await answerer.answer(make_question())
    assert "Authorization" not in fake.request_headers[-1]
    fake.status, fake.headers = 401, {"WWW-Authenticate": "Bearer realm=x"}
    with pytest.raises(Unauthorized) as unauthorized:
        await answerer.answer(make_question(headers=headers))
    assert unauthorized.value.headers == {"WWW-Authenticate": "Bearer realm=x"}
    fake.status = 403
    with pytest.raises(Refused) as refused:
        await answerer.answer(make_question(headers=headers))
    assert refused.value.status == 403


async def test_discovery_without_an_own_authorization(fake: FakeLangGraph, base: str) -> None:
    """A server that denies the list to askd itself is used if the assistant is named; otherwise the hint says so."""
    fake.search_status = 401
    named = langgraph_answerer(base, assistant="agent", authorization="forward")
    await named.load(ignore_progress)
    await named.answer(make_question(headers=CIMultiDict({"Authorization": "Bearer mine"})))
    assert fake.bodies[-1]["assistant_id"] == "agent"
    unnamed = langgraph_answerer(base, authorization="forward")
    with pytest.raises(LoadError, match=f"denied access: name the assistant, such as {base}#agent"):
        await unnamed.load(ignore_progress)
    for answerer in (named, unnamed):
        await answerer.close()


def _replace_file(path: Path, text: str) -> None:
    """Replace the file atomically, as Kubernetes does."""
    new_path = path.with_name("new")
    new_path.write_text(text)
    new_path.replace(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        (b"", "the file is empty"),
        (b"\n", "the file is empty"),
        (b"secret one", "the key contains whitespace"),
        (b"secret\nother", "the key contains whitespace"),
        ("secrät".encode(), "the key contains whitespace"),
        (b"s" * 9000, "longer than 8192 bytes"),
    ],
    ids=range(7),
)
async def test_invalid_api_key(base: str, tmp_path: Path, content: bytes | None, reason: str) -> None:
    """An invalid API key fails the load; the error message has the setting but never the key."""
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    answerer = langgraph_answerer(base, key=path)
    with pytest.raises(LoadError, match=reason) as caught:
        await answerer.load(ignore_progress)
    assert str(caught.value).startswith(f"--upstream-api-key-file={path}: ")
    assert "secr" not in str(caught.value)
    await answerer.close()
