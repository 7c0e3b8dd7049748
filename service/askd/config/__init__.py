"""The settings, which are also their manual: every field is a flag, an `ASKD_*` variable and a line of help.

A field's `help` gives the meaning, the unit and the reason for the default. Values come as strings, from flags first,
then the environment, and are read here, all of them, so that every fault is reported at once.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from service import units, variables
from service.errors import SettingsError
from service.settings.exchange import Exchange
from service.settings.process import Process
from service.variables import flag_name, variable_name


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings(Process, Exchange):
    """What the server is told; immutable. Durations are seconds (float), sizes bytes (int)."""

    @classmethod
    def load(cls, flags: Mapping[str, str], environ: Mapping[str, str]) -> "Settings":
        """Read settings from `flags` (field name → text), then from `environ`; an empty variable counts as unset.

        Raises SettingsError with one line for each faulty setting.
        """
        values: dict[str, Any] = {}
        faults: list[str] = []
        for field in dataclasses.fields(cls):
            origin, text = flag_name(field.name), flags.get(field.name)
            if text is None:
                origin, text = variable_name(field.name), variables.value(field.name, environ)
            if text is None:
                continue
            try:
                values[field.name] = field.metadata["read"](text)
            except ValueError as fault:
                shown = "***" if field.metadata["secret"] else repr(text)
                faults.append(f"{origin}={shown}: give {fault}")
        settings = cls(**values)
        faults += settings.contradictions()
        if faults:
            raise SettingsError(faults)
        return settings

    def contradictions(self) -> list[str]:
        """Return one line for each pair of settings that cannot both hold, with the mend."""
        faults = []
        if self.ops_port and self.ops_port == self.main_port:
            faults.append(f"--ops-port={self.ops_port} is --port as well: give another, or leave it out to share one")
        if self.rate is None and self.rate_burst is not None:
            faults.append(f"--rate-burst={self.rate_burst} bounds nothing without --rate: give one, such as 100/s")
        if self.docs_need_token and self.tokens_file is None:
            faults.append("--docs-need-token asks for nothing without --tokens-file: give one, or leave it out")
        if self.debug and self.ops_port is None:
            faults.append("--debug opens /debug/stacks on the ops port alone: give --ops-port as well, or leave it out")
        if self.stall_dump >= self.stall_limit:
            faults.append(
                f"--stall-dump={self.stall_dump:g}s is not below --stall-limit={self.stall_limit:g}s, at which the "
                f"process is restarted: give less, so that the log says why"
            )
        if (self.tls_cert is None) != (self.tls_key is None):
            lone, other = ("--tls-cert", "--tls-key") if self.tls_cert else ("--tls-key", "--tls-cert")
            faults.append(f"{lone} is given without {other}: give both for HTTPS, or none for HTTP")
        if self.deadline is not None and self.drain_timeout is not None and self.drain_timeout < self.deadline:
            faults.append(
                f"--drain-timeout={self.drain_timeout:g}s is below --deadline={self.deadline:g}s, so that a drain "
                f"would cut questions off: give at least the deadline, or leave it out for 5s more than that"
            )
        return faults

    def shown(self) -> dict[str, Any]:
        """Return the settings by name, secrets hidden, for the log."""
        found = {field: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {f.name: "***" if f.metadata["secret"] and v else _readable(v) for f, v in found.items()}


def _readable(value: Any) -> Any:
    if isinstance(value, units.Rate):
        return str(value)
    return re.sub(r"//[^/@\s]+@", "//***@", value) if isinstance(value, str) else value


def unknown_variables(environ: Mapping[str, str]) -> dict[str, str | None]:
    """Return each `ASKD_*` variable that is no setting, with the nearest name that is one (None: nothing is near)."""
    return variables.unknown(environ, [variable_name(field.name) for field in dataclasses.fields(Settings)])
