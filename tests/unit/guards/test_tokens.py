"""Bearer tokens: token files, their errors, and reloading."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askd.errors import StartupError
from askd.guards.tokens import (
    MAX_FILE_BYTES,
    MAX_REPORTED_ERRORS,
    MAX_TOKENS,
    TOKEN_PREFIX,
    TokenFileError,
    TokenStore,
    generate_token,
    is_valid_name,
    read_tokens,
)
from tests.support.log_capture import LogCapture

SECRET = "a-token-of-the-test"
TOKEN = f"{TOKEN_PREFIX}{'a' * 43}"
HASH = hashlib.sha256(SECRET.encode()).hexdigest()


def token_line(name: str, token: str = SECRET) -> str:
    """Return the line of a token file."""
    return f"{name}: {hashlib.sha256(token.encode()).hexdigest()}\n"


def caller_name(store: TokenStore, token: str) -> str | None:
    """Return the name of the caller with this token."""
    caller = store.authenticate(token)
    return caller.name if caller else None


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    """Return a file with one token."""
    path = tmp_path / "tokens"
    path.write_text(token_line("alice"))
    return path


def change_and_reload(store: TokenStore, change: Callable[[], object]) -> None:
    """Change the file, and poll until the change has settled."""
    change()
    store.file_watcher.check()
    store.file_watcher.check()


def test_generated_token_matches_its_line(tmp_path: Path) -> None:
    """A generated token is known by its line, and no two tokens are equal."""
    (token, line), (other_token, _) = generate_token("alice"), generate_token("alice")
    (tmp_path / "tokens").write_text(line)
    store = TokenStore(str(tmp_path / "tokens"))
    assert [caller_name(store, candidate) for candidate in (token, other_token, "")] == ["alice", None, None]
    assert token.startswith(TOKEN_PREFIX)
    assert token not in line


@pytest.mark.parametrize("name", ["", "a" * 65, "a b", "a:b", "ä", "a/b", HASH, HASH.upper(), TOKEN, "a\n"])
def test_invalid_names(name: str) -> None:
    """A name is short and plain, and neither a hash nor a token."""
    assert not is_valid_name(name)
    with pytest.raises(ValueError, match="1 to 64 letters"):
        generate_token(name)


def test_several_tokens_share_a_name(token_file: Path) -> None:
    """Two tokens of one name are valid at the same time; comments, blank lines, spaces and CR LF are ignored."""
    old_line = f"\ufeff# for the front end\r\n\r\n  alice :  {HASH.upper()}\r\n"
    token_file.write_bytes((old_line + token_line("alice", "new")).encode())
    store = TokenStore(str(token_file))
    assert (caller_name(store, SECRET), caller_name(store, "new")) == ("alice", "alice")
    assert (store.statistics().tokens, store.caller_names) == (2, ["alice"])


@given(st.text(max_size=40))
def test_unknown_tokens(tmp_path_factory: pytest.TempPathFactory, token: str) -> None:
    """Any other text is not a valid token, nor is the hash itself."""
    path = tmp_path_factory.getbasetemp() / "known-tokens"
    path.write_text(token_line("alice"))
    store = TokenStore(str(path))
    assert caller_name(store, token) == ("alice" if token == SECRET else None)
    assert caller_name(store, HASH) is None


INVALID_FILES = {
    "a token alone": (SECRET, ":1: missing colon"),
    "a hash alone": (HASH, ":1: missing colon"),
    "the wrong way round": (f"{HASH}: alice", ":1: invalid name before the colon"),
    "a token for a name": (f"{TOKEN}: {HASH}", ":1: invalid name before the colon"),
    "a token for a hash": (f"alice: {SECRET}", ":1: invalid SHA-256 after the colon"),
    "a short hash": (f"\n# x\nalice: {HASH[:-1]}", ":3: invalid SHA-256 after the colon"),
    "output of sha256sum": (f"alice: {HASH}  -", ":1: invalid SHA-256 after the colon"),
    "one token, two names": (f"alice: {HASH}\nbob: {HASH.upper()}", ":2: the token already has another name, see "),
    "a name too long": (f"{'a' * 65}: {HASH}", ":1: invalid name before the colon"),
}


@pytest.mark.parametrize(("text", "message"), INVALID_FILES.values(), ids=INVALID_FILES)
def test_invalid_lines(token_file: Path, text: str, message: str) -> None:
    """An invalid line stops the start. The error has file, line and a hint, but not the content of the line."""
    token_file.write_text(text)
    with pytest.raises(StartupError) as raised:
        TokenStore(str(token_file))
    error = str(raised.value)
    assert error.startswith(str(token_file))
    assert message in error
    assert ": " in error.partition(message)[2]
    for secret in (SECRET, HASH, HASH[:16], HASH.upper(), "alice", TOKEN_PREFIX):
        assert secret not in error.replace(str(token_file), "")


def test_number_of_reported_errors_is_bounded(token_file: Path) -> None:
    """Ten errors are reported, and the number of further ones."""
    token_file.write_text("x\n" * (MAX_REPORTED_ERRORS + 5))
    with pytest.raises(TokenFileError) as raised:
        read_tokens(token_file)
    assert len(raised.value.messages) == MAX_REPORTED_ERRORS + 1
    assert raised.value.messages[-1] == f"{token_file}: 5 more errors"


def test_unreadable_files(tmp_path: Path) -> None:
    """Each reason why a file cannot be read has its own message."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    (tmp_path / "many").write_text("".join(token_line("a", str(number)) for number in range(MAX_TOKENS + 1)))
    (tmp_path / "outer" / "inner").mkdir(parents=True)
    messages = {
        "absent": "no such file or directory: create it with `askd token NAME >> FILE`",
        "binary": "not a UTF-8 text file",
        "large": f"exceeds {MAX_FILE_BYTES} bytes",
        "many": f"{MAX_TOKENS + 1} tokens exceed the limit of {MAX_TOKENS}",
        "outer": "directory inside the token directory",
        "a\0b": "null byte",
    }
    for name, message in messages.items():
        with pytest.raises(TokenFileError, match=message):
            read_tokens(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read all files")
def test_missing_permissions(token_file: Path) -> None:
    """A file without read permission stops the start."""
    token_file.chmod(0)
    with pytest.raises(StartupError, match="cannot be read"):
        TokenStore(str(token_file))


def mount_secret(directory: Path, number: int, **files: str) -> None:
    """Write files as Kubernetes mounts a Secret: symbolic links through `..data`, which is swapped atomically."""
    version_directory = directory / f"..{number}"
    version_directory.mkdir(parents=True)
    for name, text in files.items():
        (version_directory / name).write_text(text)
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(f"..data/{name}")
    (directory / "..new").symlink_to(version_directory.name)
    (directory / "..new").replace(directory / "..data")


def test_mounted_secret_is_reloaded(tmp_path: Path) -> None:
    """Each key of a mounted Secret is a token file; the `..` entries are ignored, and an update is detected."""
    mount_secret(tmp_path, 1, front=token_line("alice"), back=token_line("bob", "b"))
    store = TokenStore(str(tmp_path))
    assert (store.caller_names, store.statistics().tokens) == (["alice", "bob"], 2)
    change_and_reload(
        store, lambda: mount_secret(tmp_path, 2, front=token_line("alice", "new"), back=token_line("bob", "b"))
    )
    assert [caller_name(store, token) for token in (SECRET, "new", "b")] == [None, "alice", "bob"]


def test_changed_file_is_reloaded(token_file: Path) -> None:
    """After a reload new tokens are valid and removed ones are not; callers that remain keep their request count."""
    store = TokenStore(str(token_file))
    assert caller_name(store, SECRET) == "alice"
    change_and_reload(store, lambda: token_file.write_text(token_line("alice", "new") + token_line("bob", "b")))
    assert [caller_name(store, token) for token in (SECRET, "new", "b")] == [None, "alice", "bob"]
    assert store.statistics().requests == {"alice": 2, "bob": 1}
    change_and_reload(store, lambda: token_file.write_text(token_line("bob", "b")))
    assert (store.statistics().requests, store.statistics().reloads) == ({"bob": 1}, 2)


def test_half_written_file_is_not_read(token_file: Path) -> None:
    """A content that only one poll sees is never used."""
    store = TokenStore(str(token_file))
    token_file.write_text("")
    store.file_watcher.check()
    assert caller_name(store, SECRET) == "alice"
    change_and_reload(store, lambda: token_file.write_text(token_line("alice") + token_line("bob", "b")))
    assert (caller_name(store, SECRET), caller_name(store, "b")) == ("alice", "bob")


@pytest.mark.parametrize("break_file", [lambda file: file.write_text(f"alice {SECRET}"), lambda file: file.unlink()])
def test_failed_reload_keeps_the_old_tokens(token_file: Path, break_file: Callable[[Path], object]) -> None:
    """An invalid or missing file changes nothing, and is counted and logged once, until a valid file replaces it."""
    store = TokenStore(str(token_file))
    with LogCapture() as log:
        change_and_reload(store, lambda: break_file(token_file))
        store.file_watcher.check()
        (record,) = log.lines("tokens_reload_failed")
        assert SECRET not in log.text
    assert str(token_file) in record["errors"][0]
    assert caller_name(store, SECRET) == "alice"
    assert (store.statistics().reload_failures, store.statistics().reloads) == (1, 0)
    assert store.statistics().reload_failing
    change_and_reload(store, lambda: token_file.write_text(token_line("bob", "b")))
    assert not store.statistics().reload_failing
    assert (caller_name(store, SECRET), caller_name(store, "b")) == (None, "bob")


def test_empty_file_rejects_all_requests(token_file: Path) -> None:
    """A file without tokens is valid: all requests are rejected, and a warning is logged."""
    store = TokenStore(str(token_file))
    with LogCapture() as log:
        change_and_reload(store, lambda: token_file.write_text("# no tokens\n"))
        assert len(log.lines("tokens_empty")) == 1
    assert caller_name(store, SECRET) is None
    assert store.statistics().tokens == 0


def test_rejections_are_counted_by_reason(token_file: Path) -> None:
    """All reasons are present from the start."""
    store = TokenStore(str(token_file))
    assert store.statistics().rejected == {"missing": 0, "unknown": 0}
    store.record_rejection("unknown")
    assert store.statistics().rejected == {"missing": 0, "unknown": 1}
