"""Server settings: every setting is a command-line option, an `ASKD_*` variable and an entry in the help.

Settings arrive as text, from options first and then from the environment. All of them are parsed before an error is
raised, so that one start reports every invalid setting. Help, reference page and chart values are generated from the
fields of `Settings`.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Final

from askd.config import environment
from askd.config.answering import AnsweringSettings
from askd.config.environment import flag_name, variable_name
from askd.config.server import ServerSettings
from askd.errors import SettingsError
from askd.rate import Rate

BOOK_DEADLINE: Final = 10.0
"""Default deadline of a book, in seconds: a thousand times the duration of a search."""
CODE_DEADLINE: Final = 60.0
"""Default deadline of code, graphs and servers, in seconds: models are slow."""
DRAIN_MARGIN: Final = 5.0
"""Seconds that a drain lasts beyond the deadline, so that late requests still get their 504."""
BOOK_QUESTION_LENGTH: Final = 1000
"""Default maximum length of a question to a book, in characters: more search terms find nothing more."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(ServerSettings, AnsweringSettings):
    """All settings, immutable. Durations are seconds (float), sizes are bytes (int)."""

    @classmethod
    def load(cls, flags: Mapping[str, str], environ: Mapping[str, str]) -> "Settings":
        """Parse the settings.

        Args:
            flags: Values of command-line options by field name; they take precedence.
            environ: Environment variables; an empty variable counts as unset.

        Raises:
            SettingsError: One line for each invalid setting and each conflict.
        """
        values: dict[str, Any] = {}
        errors: list[str] = []
        for field in dataclasses.fields(cls):
            origin, text = flag_name(field.name), flags.get(field.name)
            if text is None:
                origin, text = environment.read_variable(field.name, environ)
            if text is None:
                continue
            try:
                values[field.name] = field.metadata["read"](text)
            except ValueError as error:
                shown = "***" if field.metadata["secret"] else repr(text)
                errors.append(f"{origin}={shown}: expected {error}")
        settings = cls(**values)
        errors += settings.find_conflicts()
        if errors:
            raise SettingsError(errors)
        return settings

    def find_conflicts(self) -> list[str]:
        """Return one line for each combination of settings that cannot work, with the fix."""
        conflicts = self._find_answering_conflicts()
        if self.ops_port and self.ops_port == self.main_port:
            conflicts.append(
                f"--ops-port={self.ops_port} is also --port: use another port, or remove --ops-port to serve both on "
                f"one port"
            )
        if self.rate_limit is None and self.rate_burst is not None:
            conflicts.append(f"--rate-burst={self.rate_burst} requires --rate-limit: set --rate-limit, such as 100/s")
        if self.docs_require_token and self.tokens_file is None:
            conflicts.append(
                "--docs-require-token requires --tokens-file: set --tokens-file, or remove --docs-require-token"
            )
        if self.debug and self.ops_port is None:
            conflicts.append("--debug serves /debug/stacks on the ops port only: set --ops-port, or remove --debug")
        if self.stall_dump_after >= self.stall_timeout:
            conflicts.append(
                f"--stall-dump-after={self.stall_dump_after:g}s is not below --stall-timeout={self.stall_timeout:g}s, "
                f"so the process would be restarted before it logs its stacks: use a shorter time"
            )
        if (self.tls_cert is None) != (self.tls_key is None):
            present, missing = ("--tls-cert", "--tls-key") if self.tls_cert else ("--tls-key", "--tls-cert")
            conflicts.append(f"{present} is set without {missing}: set both for HTTPS, or neither for HTTP")
        if self.deadline is not None and self.drain_timeout is not None and self.drain_timeout < self.deadline:
            conflicts.append(
                f"--drain-timeout={self.drain_timeout:g}s is shorter than --deadline={self.deadline:g}s, so a shutdown "
                f"would cut off requests: use at least the deadline, or remove --drain-timeout (default: the deadline "
                f"plus 5s)"
            )
        return conflicts

    def _find_answering_conflicts(self) -> list[str]:
        """Return the conflicts of settings of answerers."""
        conflicts = [
            f"--{name.replace('_', '-')} requires --processes: set --processes, such as auto"
            for name in ("worker_max_requests", "worker_max_memory")
            if getattr(self, name) and not self.processes
        ]
        if self.processes and self.graph_memory == "memory":
            conflicts.append(
                f"--graph-memory=memory with --processes={self.processes}: each process would have its own memory, "
                f"and the questions of a thread reach any of them; use a database, such as sqlite:threads.db"
            )
        if self.book_match == "exact" and self.book_threshold is not None:
            conflicts.append(
                f"--book-threshold={self.book_threshold:g} has no effect with --book-match=exact: use one of them"
            )
        if self.book_match == "exact" and self.book_semantic:
            conflicts.append("--book-semantic has no effect with --book-match=exact: use one of them")
        if self.upstream_authorization == "forward" and self.tokens_file is not None:
            conflicts.append(
                "--upstream-authorization=forward and --tokens-file both need the client's Authorization header: "
                "use only one of them"
            )
        if self.upstream_authorization == "forward" and self.deterministic:
            conflicts.append(
                "--upstream-authorization=forward with --deterministic would answer clients from the cache whom the "
                "upstream server rejects: use only one of them"
            )
        return conflicts

    def effective_question_max_length(self, kind: str) -> int:
        """Return the maximum length of a question in characters: the setting, or the default of the answerer's kind."""
        if self.question_max_length is not None:
            return self.question_max_length
        return BOOK_QUESTION_LENGTH if kind == "book" else self.body_max_size

    def effective_deadline(self, kind: str) -> float:
        """Return the deadline for an answer in seconds: the setting, or the default of the answerer's kind."""
        if self.deadline is not None:
            return self.deadline
        return BOOK_DEADLINE if kind == "book" else CODE_DEADLINE

    def effective_drain_timeout(self, kind: str) -> float:
        """Return the maximum duration of a drain in seconds: the setting, or five seconds more than the deadline.

        Raises:
            SettingsError: The drain timeout is shorter than the deadline.
        """
        deadline = self.effective_deadline(kind)
        if self.drain_timeout is None:
            return deadline + DRAIN_MARGIN
        if self.drain_timeout < deadline:
            problem = f"--drain-timeout={self.drain_timeout:g}s is shorter than the deadline of {deadline:g}s"
            reason = "requests within their deadline would be cancelled during a drain"
            raise SettingsError([f"{problem}: {reason}; use at least {deadline:g}s"])
        return self.drain_timeout

    def as_redacted_dict(self) -> dict[str, Any]:
        """Return the settings by name for the log, with secrets and passwords replaced by `***`."""
        values = {field: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {
            field.name: "***" if field.metadata["secret"] and value else _to_log_value(value)
            for field, value in values.items()
        }


def _to_log_value(value: Any) -> Any:
    if isinstance(value, Rate):
        return str(value)
    return re.sub(r"//[^/@\s]+@", "//***@", value) if isinstance(value, str) else value


def unknown_variables(environ: Mapping[str, str]) -> dict[str, str | None]:
    """Return each `ASKD_*` variable that is not a setting, with the most similar name (None if no name is similar)."""
    return environment.find_unknown_variables(
        environ, [variable_name(field.name) for field in dataclasses.fields(Settings)]
    )
