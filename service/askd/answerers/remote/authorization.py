"""Authorization at the upstream server: an API key from a file, or the token of the client."""

from pathlib import Path
from typing import Final

import structlog

from askd.errors import LoadError
from askd.file_watcher import FileWatcher, take_snapshot
from askd.models import Question

FORWARD_AUTHORIZATION: Final = "forward"
"""Value of `--upstream-authorization` that passes the client's `Authorization` on."""
MAX_KEY_FILE_BYTES: Final = 8192
"""Maximum size of a key file: servers do not accept longer headers."""

_log = structlog.get_logger("askd.upstream")


class ApiKeyFile:
    """A file that contains one API key and optional whitespace around it.

    Args:
        path: Path of the file; None means that requests are sent without a key.
        option: The option that names the file, for messages.
        allows_scheme: Whether a scheme such as `Bearer` and a space may precede the key.
    """

    def __init__(
        self, path: str | None, *, option: str = "--upstream-api-key-file", allows_scheme: bool = False
    ) -> None:
        self._path = None if path is None else Path(path)
        self._option, self._allows_scheme = option, allows_scheme
        self.key = ""
        """The key, or an empty string without a file. If a changed file is invalid, the old key stays valid."""
        self.file_watcher = FileWatcher(
            lambda: {} if self._path is None else take_snapshot([self._path]), lambda _paths: self._reload()
        )

    def load(self) -> None:
        """Read the key. Raises LoadError, whose message never contains the key."""
        if self._path is None:
            return
        try:
            self.key = self._read_key(self._path)
        except (OSError, ValueError) as error:
            raise LoadError(
                f"{self._option}={self._path}: {_format_reason(error)}: give a file that contains only the key"
            ) from None

    def _reload(self) -> None:
        try:
            self.load()
        except LoadError as error:
            _log.warning("upstream_api_key_reload_failed", error=str(error))
        else:
            _log.info("upstream_api_key_reloaded")

    def _read_key(self, path: Path) -> str:
        """Raises OSError if the file cannot be read, and ValueError if its content cannot be a key."""
        with path.open("rb") as file:
            content = file.read(MAX_KEY_FILE_BYTES + 1)
        if len(content) > MAX_KEY_FILE_BYTES:
            raise ValueError(f"the file is longer than {MAX_KEY_FILE_BYTES} bytes")
        key = content.decode("ascii", "replace").strip()
        if not key:
            raise ValueError("the file is empty")
        scheme, space, rest = key.partition(" ")
        characters = scheme + rest if space and self._allows_scheme else key
        if not all("!" <= character <= "~" for character in characters):
            raise ValueError("the key contains whitespace or characters that are not allowed in a header")
        return key


class UpstreamAuthorization:
    """The `Authorization` header of requests to the upstream server.

    Args:
        setting: `forward` passes the client's header on, another text is the path of a file, None sends none.
    """

    def __init__(self, setting: str | None = None) -> None:
        self.is_forwarded = setting == FORWARD_AUTHORIZATION
        self.file = ApiKeyFile(
            None if self.is_forwarded else setting, option="--upstream-authorization", allows_scheme=True
        )

    def load(self) -> None:
        """Read the file. Raises LoadError, whose message never contains the key."""
        self.file.load()

    def get_header(self, question: Question | None) -> str | None:
        """Return the value of the header, or None. askd's own requests, without a question, have no client."""
        if self.is_forwarded:
            return question.headers.get("Authorization") if question else None
        key = self.file.key
        return f"Bearer {key}" if key and " " not in key else key or None


def _format_reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
