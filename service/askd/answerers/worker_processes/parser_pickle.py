"""Pickle a parser of parameters in a worker for the server, which must not import the user's code."""

import io
import pickle
from typing import Any, Final

import msgspec

_PACKAGES: Final = frozenset(
    {
        *("askd", "builtins", "collections", "datetime", "decimal", "inspect", "msgspec", "operator", "types"),
        *("typing", "uuid"),
    }
)
"""Packages that the server may import for a type."""
_META_FIELDS: Final = (
    *("gt", "ge", "lt", "le", "multiple_of", "pattern", "min_length", "max_length"),
    *("title", "description", "examples", "extra_json_schema", "extra"),
)


class _ParserPickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        """Refuse objects of other packages, above all those of the user."""
        module = str(getattr(value, "__module__", None) or type(value).__module__)
        if module.partition(".")[0].lstrip("_") not in _PACKAGES:
            raise pickle.PicklingError(f"the module {module} belongs to the code")
        if isinstance(value, msgspec.Meta):  # it does not support pickle itself
            return create_meta, ({name: getattr(value, name) for name in _META_FIELDS},)
        return NotImplemented


def create_meta(fields: dict[str, Any]) -> msgspec.Meta:
    """Return constraints with these fields."""
    return msgspec.Meta(**fields)


def dump_parser(parser: object) -> bytes:
    """Return the pickled parser; empty for None, and if it depends on types that only the worker has."""
    buffer = io.BytesIO()
    try:
        if parser is not None:
            _ParserPickler(buffer, pickle.HIGHEST_PROTOCOL).dump(parser)
    except Exception:  # PicklingError, TypeError or what an object of the code raises
        return b""
    return buffer.getvalue()
