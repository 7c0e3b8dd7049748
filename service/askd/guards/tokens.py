"""Bearer tokens: reads the token file or directory, reloads it when it changes, and authenticates callers.

Token files have one `name: SHA-256 of the token in hex` per line; the tokens themselves are stored nowhere. A plain
hash suffices because a token has 256 random bits: unlike a password, it cannot be guessed. Lookups leak nothing through
their timing: the dict is keyed by the SHA-256, its own hashing is salted per process, and a caller who knows part of a
SHA-256 cannot construct a token for it.

Error messages never show the content of a line, which may be a token that was put there by mistake.
"""

import hashlib
import hmac
import re
import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import msgspec
import structlog

from askd.errors import StartupError
from askd.file_watcher import FileWatcher, Snapshot, take_snapshot

TOKEN_PREFIX: Final = "askd_"  # noqa: S105 - not a secret
"""Prefix of all tokens, by which people and secret scanners recognize them."""
MAX_TOKENS: Final = 1000
"""Maximum number of tokens, and of files in a token directory. A gateway is a better place for more clients."""
MAX_FILE_BYTES: Final = 1 << 20
"""Maximum size of one token file."""
MAX_REPORTED_ERRORS: Final = 10
"""Maximum number of errors that are reported at once."""

_TOKEN_BYTES: Final = 32
_NAME_PATTERN: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DIGEST_PATTERN: Final = re.compile(r"[0-9A-Fa-f]{64}")
_TOKEN_PATTERN: Final = re.compile(TOKEN_PREFIX + r"[A-Za-z0-9_-]{43}")
_NAME_RULE: Final = "1 to 64 letters, digits, dots, dashes or underscores"
_FORMAT_HINT: Final = "expected `name: SHA-256 of the token in hex`, as printed by `askd token NAME`"

_log = structlog.get_logger("askd.tokens")


class TokenFileError(Exception):
    """Errors in token files, one message with file, line and hint for each."""

    def __init__(self, messages: Sequence[str]) -> None:
        super().__init__("\n".join(messages))
        self.messages = tuple(messages)


class TokenEntry(NamedTuple):
    """One line of a token file: the name of the caller, and the SHA-256 of the token."""

    name: str
    digest: bytes

    @property
    def as_line(self) -> str:
        """The line of the token file."""
        return f"{self.name}: {self.digest.hex()}"


TokenEntries: TypeAlias = Sequence[TokenEntry]


class TokenStatistics(msgspec.Struct, frozen=True):
    """Tokens in use, and totals since the start."""

    tokens: int
    requests: Mapping[str, int]
    """Authenticated requests by name, for the names in use."""
    rejected: Mapping[str, int]
    """Rejected requests by reason: `missing` or `unknown`."""
    reloads: int
    reload_failures: int
    reload_failing: bool
    """Whether the last reload failed, so that older tokens than those in the file are in use."""


class Caller:
    """An authenticated client."""

    __slots__ = ("name", "request_count")

    def __init__(self, name: str, request_count: int = 0) -> None:
        self.name = name
        self.request_count = request_count


class TokenStore:
    """The tokens of one file or directory. Raises StartupError if it has errors.

    For one event loop. The file watcher and `statistics` may be called from any thread, because the table is replaced
    and never modified.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.file_watcher = FileWatcher(self._take_snapshot, lambda _paths: self._reload())
        try:
            entries = read_tokens(self.path)
        except TokenFileError as error:
            raise StartupError("\n".join(error.messages)) from None
        self._tokens_by_digest: dict[bytes, tuple[bytes, Caller]] = {}
        self._replace_tokens(entries)
        self._rejected: Counter[str] = Counter(missing=0, unknown=0)
        self._reloads = self._reload_failures = 0
        self._last_reload_failed = False

    async def watch(self) -> None:
        """Reload the tokens whenever the file changes, until cancelled."""
        self._warn_if_empty()
        await self.file_watcher.run()

    def authenticate(self, token: str) -> Caller | None:
        """Return the caller with this token and count the request, or return None if the token is unknown."""
        digest = hashlib.sha256(token.encode()).digest()
        entry = self._tokens_by_digest.get(digest)
        if entry is None or not hmac.compare_digest(entry[0], digest):
            return None
        entry[1].request_count += 1
        return entry[1]

    def record_rejection(self, reason: str) -> None:
        """Count a rejected request; `reason` is `missing` or `unknown`."""
        self._rejected[reason] += 1

    def _reload(self) -> None:
        """Read the changed file. If it has errors, log them once and keep the old tokens."""
        try:
            entries = read_tokens(self.path)
        except TokenFileError as error:
            self._reload_failures += 1
            self._last_reload_failed = True
            _log.warning("tokens_reload_failed", errors=list(error.messages))
            return
        self._replace_tokens(entries)
        self._reloads += 1
        self._last_reload_failed = False
        _log.info("tokens_reloaded", tokens=len(entries), callers=len(self.caller_names))
        self._warn_if_empty()

    @property
    def caller_names(self) -> Sequence[str]:
        """Names of all callers, sorted."""
        return sorted({caller.name for _, caller in self._tokens_by_digest.values()})

    def statistics(self) -> TokenStatistics:
        """Return the statistics. Safe to call from any thread."""
        tokens_by_digest = self._tokens_by_digest
        return TokenStatistics(
            tokens=len(tokens_by_digest),
            requests={caller.name: caller.request_count for _, caller in tokens_by_digest.values()},
            rejected=dict(self._rejected),
            reloads=self._reloads,
            reload_failures=self._reload_failures,
            reload_failing=self._last_reload_failed,
        )

    def _replace_tokens(self, entries: TokenEntries) -> None:
        """Use these tokens. Callers that keep their name keep their request count."""
        callers = {caller.name: caller for _, caller in self._tokens_by_digest.values()}
        for entry in entries:
            callers.setdefault(entry.name, Caller(entry.name))
        self._tokens_by_digest = {entry.digest: (entry.digest, callers[entry.name]) for entry in entries}

    def _warn_if_empty(self) -> None:
        if not self._tokens_by_digest:
            hint = "all requests are rejected until the file has a token: askd token NAME"
            _log.warning("tokens_empty", path=str(self.path), hint=hint)

    def _take_snapshot(self) -> Snapshot:
        try:
            return take_snapshot(list_token_files(self.path))
        except TokenFileError:
            return take_snapshot([self.path])


def generate_token(name: str) -> tuple[str, str]:
    """Return a new token, and its line for the token file. Raises ValueError if the name is invalid."""
    if not is_valid_name(name):
        raise ValueError(f"invalid name: use {_NAME_RULE}")  # the value may be a token
    token = TOKEN_PREFIX + secrets.token_urlsafe(_TOKEN_BYTES)
    return token, TokenEntry(name, hashlib.sha256(token.encode()).digest()).as_line


def is_valid_name(text: str) -> bool:
    """Whether `text` is a valid caller name. Hashes and tokens are invalid, because names appear in logs."""
    return (
        bool(_NAME_PATTERN.fullmatch(text))
        and not _DIGEST_PATTERN.fullmatch(text)
        and not _TOKEN_PATTERN.fullmatch(text)
    )


def list_token_files(path: Path) -> list[Path]:
    """Return the token files at `path`, sorted. Raises TokenFileError if the directory cannot be read.

    Names that begin with a dot are skipped: a mounted Secret has `..data` and the directory that it links to, and the
    other names are symbolic links into these.
    """
    try:
        if not path.is_dir():
            return [path]
        files = sorted(file for file in path.iterdir() if not file.name.startswith("."))
    except OSError as error:
        message = f"{path}: cannot read the directory ({error.strerror}): allow the server to read it"
        raise TokenFileError([message]) from None
    if len(files) > MAX_TOKENS:
        message = f"{path}: {len(files)} files exceed the limit of {MAX_TOKENS}: combine several lines into one file"
        raise TokenFileError([message])
    return files


def read_tokens(path: Path) -> TokenEntries:
    """Return the distinct tokens of a file or directory. Raises TokenFileError with all errors, up to a limit."""
    entries: dict[bytes, tuple[TokenEntry, str]] = {}
    messages: list[str] = []
    for file in list_token_files(path):
        for location, result in _read_file(file):
            if isinstance(result, str):
                messages.append(f"{location}: {result}")
            elif (other := entries.setdefault(result.digest, (result, location)))[0].name != result.name:
                messages.append(
                    f"{location}: the token already has another name, see {other[1]}: give each name its own token"
                )
    if len(entries) > MAX_TOKENS:
        messages.append(
            f"{path}: {len(entries)} tokens exceed the limit of {MAX_TOKENS}: "
            "authenticate more clients in a gateway in front of askd"
        )
    if messages:
        omitted = len(messages) - MAX_REPORTED_ERRORS
        suffix = [f"{path}: {omitted} more errors"] if omitted > 0 else []
        raise TokenFileError(messages[:MAX_REPORTED_ERRORS] + suffix)
    return [entry for entry, _ in entries.values()]


def _read_file(file: Path) -> Iterator[tuple[str, TokenEntry | str]]:
    """Yield the location of each line, with its entry or an error message."""
    try:
        text = _read_text(file)
    except (OSError, ValueError) as error:
        yield str(file), _describe_read_error(error)
        return
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            yield f"{file}:{number}", _parse_line(stripped)


def _read_text(file: Path) -> str:
    """Return the text. Raises OSError, or ValueError with an error message."""
    with file.open("rb") as opened:
        content = opened.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"exceeds {MAX_FILE_BYTES} bytes: use a token file")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("not a UTF-8 text file: use a token file") from None


def _describe_read_error(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file or directory: create it with `askd token NAME >> FILE`"
    if isinstance(error, IsADirectoryError):
        return "directory inside the token directory: move its files one level up"
    return f"cannot be read ({error.strerror}): check its permissions" if isinstance(error, OSError) else str(error)


def _parse_line(text: str) -> TokenEntry | str:
    name, colon, digest = (part.strip() for part in text.partition(":"))
    if not colon:
        return f"missing colon: {_FORMAT_HINT}"
    if not is_valid_name(name):
        return f"invalid name before the colon ({_NAME_RULE}): {_FORMAT_HINT}"
    if not _DIGEST_PATTERN.fullmatch(digest):
        return f"invalid SHA-256 after the colon (64 hex digits): {_FORMAT_HINT}"
    return TokenEntry(name, bytes.fromhex(digest))
