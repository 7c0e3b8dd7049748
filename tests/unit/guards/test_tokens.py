"""Tokens: who may ask, as a file says it, and as the file says it next."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import StartupError
from service.guards.token_lines import LARGEST, MOST, PREFIX, TOLD, Faults, is_name, read
from service.guards.tokens import Tokens, pair
from tests.telemetry.captured import Captured

SECRET = "a-token-of-the-test"
HASH = hashlib.sha256(SECRET.encode()).hexdigest()


def line(name: str, token: str = SECRET) -> str:
    """The file's line for a token."""
    return f"{name}: {hashlib.sha256(token.encode()).hexdigest()}\n"


def who(tokens: Tokens, token: str) -> str | None:
    """Whose token it is."""
    caller = tokens.caller(token)
    return caller.name if caller else None


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with one token."""
    path = tmp_path / "tokens"
    path.write_text(line("alice"))
    return path


def saved(tokens: Tokens, save: Callable[[], object]) -> None:
    """Save, and look until what was saved has settled."""
    save()
    tokens.look()
    tokens.look()


def test_a_pair_fits_together(tmp_path: Path) -> None:
    """The line that is made lets the token in that was made with it; each is another."""
    (token, text), (other, _) = pair("alice"), pair("alice")
    (tmp_path / "tokens").write_text(text)
    tokens = Tokens(str(tmp_path / "tokens"))
    assert (who(tokens, token), who(tokens, other), who(tokens, "")) == ("alice", None, None)
    assert token.startswith(PREFIX)
    assert token not in text


@pytest.mark.parametrize("name", ["", "a" * 65, "a b", "a:b", "ä", "a/b", HASH, HASH.upper(), pair("a")[0], "a\n"])
def test_what_is_no_name_is_refused(name: str) -> None:
    """A name is short and plain, and never a hash or a token that stands in its place."""
    assert not is_name(name)
    with pytest.raises(ValueError, match="1 to 64 letters"):
        pair(name)


def test_several_tokens_share_a_name(file: Path) -> None:
    """To rotate a token both are in force for a while; comments, blank lines, spaces and CR LF do not matter."""
    old = f"\ufeff# for the front end\r\n\r\n  alice :  {HASH.upper()}\r\n"
    file.write_bytes((old + line("alice", "new")).encode())
    tokens = Tokens(str(file))
    assert (who(tokens, SECRET), who(tokens, "new")) == ("alice", "alice")
    assert (tokens.statistics().tokens, tokens.names) == (2, ["alice"])


@given(st.text(max_size=40))
def test_no_other_token_is_known(tmp_path_factory: pytest.TempPathFactory, token: str) -> None:
    """Whatever else is shown is nobody's, also the hash itself."""
    path = tmp_path_factory.getbasetemp() / "known-tokens"
    path.write_text(line("alice"))
    tokens = Tokens(str(path))
    assert who(tokens, token) == ("alice" if token == SECRET else None)
    assert who(tokens, HASH) is None


BAD = {
    "a token alone": (SECRET, ":1: there is no colon"),
    "a hash alone": (HASH, ":1: there is no colon"),
    "the wrong way round": (f"{HASH}: alice", ":1: before the colon is no name"),
    "a token for a name": (f"{pair('a')[0]}: {HASH}", ":1: before the colon is no name"),
    "a token for a hash": (f"alice: {SECRET}", ":1: after the colon are not the 64 hex digits"),
    "a short hash": (f"\n# x\nalice: {HASH[:-1]}", ":3: after the colon"),
    "what sha256sum prints": (f"alice: {HASH}  -", ":1: after the colon"),
    "one token, two names": (f"alice: {HASH}\nbob: {HASH.upper()}", ":2: the token is another's already, see "),
    "a name too long": (f"{'a' * 65}: {HASH}", ":1: before the colon"),
}


@pytest.mark.parametrize(("text", "said"), BAD.values(), ids=BAD)
def test_faults_name_the_place_and_the_mend_and_no_secret(file: Path, text: str, said: str) -> None:
    """A faulty line stops the start, with file and line, and nothing of what stands there is shown."""
    file.write_text(text)
    with pytest.raises(StartupError) as raised:
        Tokens(str(file))
    told = str(raised.value)
    assert told.startswith(str(file))
    assert said in told
    assert ": " in told.partition(said)[2]
    for secret in (SECRET, HASH, HASH[:16], HASH.upper(), "alice", PREFIX):
        assert secret not in told.replace(str(file), "")


def test_all_faults_are_told_up_to_a_bound(file: Path) -> None:
    """Every faulty line is told of, up to ten, and then how many more there are."""
    file.write_text("x\n" * (TOLD + 5))
    with pytest.raises(Faults) as raised:
        read(file)
    assert len(raised.value.lines) == TOLD + 1
    assert raised.value.lines[-1] == f"{file}: 5 more such faults"


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    """No file, no text, too large a file, too many tokens, a folder in the folder: each has its mend."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "large").write_bytes(b"#" * (LARGEST + 1))
    (tmp_path / "many").write_text("".join(line("a", str(number)) for number in range(MOST + 1)))
    (tmp_path / "outer" / "inner").mkdir(parents=True)
    said = {
        "absent": "there is no such file or folder: make one with `askd token NAME >> FILE`",
        "binary": "is no text in UTF-8",
        "large": f"is over {LARGEST} bytes",
        "many": f"has {MOST + 1} tokens, {MOST} are read",
        "outer": "is a folder in a folder of tokens",
        "a\0b": "null byte",
    }
    for name, fault in said.items():
        with pytest.raises(Faults, match=fault):
            read(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_told(file: Path) -> None:
    """Permissions that are missing are named."""
    file.chmod(0)
    with pytest.raises(StartupError, match="cannot be read"):
        Tokens(str(file))


def mounted(folder: Path, number: int, **files: str) -> None:
    """Put files into a folder as Kubernetes mounts a Secret: links through `..data`, which is swapped at once."""
    stamped = folder / f"..{number}"
    stamped.mkdir(parents=True)
    for name, text in files.items():
        (stamped / name).write_text(text)
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")
    (folder / "..new").symlink_to(stamped.name)
    (folder / "..new").replace(folder / "..data")


def test_a_mounted_secret_is_read_and_read_again(tmp_path: Path) -> None:
    """Each key of a Secret is a file of lines; the machinery beside them is passed over, and its swap is noticed."""
    mounted(tmp_path, 1, front=line("alice"), back=line("bob", "b"))
    tokens = Tokens(str(tmp_path))
    assert (tokens.names, tokens.statistics().tokens) == (["alice", "bob"], 2)
    saved(tokens, lambda: mounted(tmp_path, 2, front=line("alice", "new"), back=line("bob", "b")))
    assert (who(tokens, SECRET), who(tokens, "new"), who(tokens, "b")) == (None, "alice", "bob")


def test_a_changed_file_counts_without_a_restart(file: Path) -> None:
    """New tokens are known, those that are gone are not; who stays keeps the count, who left leaves none."""
    tokens = Tokens(str(file))
    assert who(tokens, SECRET) == "alice"
    saved(tokens, lambda: file.write_text(line("alice", "new") + line("bob", "b")))
    assert [who(tokens, token) for token in (SECRET, "new", "b")] == [None, "alice", "bob"]
    assert tokens.statistics().requests == {"alice": 2, "bob": 1}
    saved(tokens, lambda: file.write_text(line("bob", "b")))
    assert (tokens.statistics().requests, tokens.statistics().reloads) == ({"bob": 1}, 2)


def test_a_file_is_not_read_while_it_is_written(file: Path) -> None:
    """What is there for one look only, half a file or none, is never in force."""
    tokens = Tokens(str(file))
    file.write_text("")
    tokens.look()
    assert who(tokens, SECRET) == "alice"
    saved(tokens, lambda: file.write_text(line("alice") + line("bob", "b")))
    assert (who(tokens, SECRET), who(tokens, "b")) == ("alice", "bob")


@pytest.mark.parametrize("spoil", [lambda file: file.write_text(f"alice {SECRET}"), lambda file: file.unlink()])
def test_a_broken_file_leaves_the_old_tokens(file: Path, spoil: Callable[[Path], object]) -> None:
    """A faulty or missing file changes nothing, is counted and logged once, and is mended by the next good one."""
    tokens = Tokens(str(file))
    with Captured() as log:
        saved(tokens, lambda: spoil(file))
        tokens.look()
        (told,) = log.lines("the changed tokens are faulty, the old ones stay")
        assert SECRET not in log.text
    assert str(file) in told["faults"][0]
    assert who(tokens, SECRET) == "alice"
    assert (tokens.statistics().reload_failures, tokens.statistics().reloads) == (1, 0)
    assert tokens.statistics().reload_failing
    saved(tokens, lambda: file.write_text(line("bob", "b")))
    assert not tokens.statistics().reload_failing
    assert (who(tokens, SECRET), who(tokens, "b")) == (None, "bob")


def test_the_last_token_can_be_taken_away(file: Path) -> None:
    """A file without tokens is no fault: then nobody may ask, and the log says so."""
    tokens = Tokens(str(file))
    with Captured() as log:
        saved(tokens, lambda: file.write_text("# nobody\n"))
        assert len(log.lines("no token is known, so that nobody may ask")) == 1
    assert who(tokens, SECRET) is None
    assert tokens.statistics().tokens == 0


def test_who_was_refused_is_counted(file: Path) -> None:
    """Refusals are counted by what was wrong, from zero."""
    tokens = Tokens(str(file))
    assert tokens.statistics().refused == {"missing": 0, "unknown": 0}
    tokens.refused("unknown")
    assert tokens.statistics().refused == {"missing": 0, "unknown": 1}
