"""Which assistant of a LangGraph server answers. Pure: from the server's list to one of them, or to what to write."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from service.errors import LoadError

AT_MOST: Final = 100
"""Assistants that are looked at. Where there are more, one that is named is not looked for among them."""


class Assistant(NamedTuple):
    """`id` is what the server is asked for, `name` is for people; `summary` is empty where it has none."""

    id: str
    name: str
    summary: str = ""


def picked(found: Any, wanted: str, base: str) -> Assistant:
    """Return the assistant called `wanted` (its graph or its UUID), or the only one where that is empty.

    `found` is the server's reply. Raises LoadError, which lists what there is.
    """
    if not isinstance(found, list) or not all(isinstance(each, Mapping) and "assistant_id" in each for each in found):
        raise LoadError(f"{base} is no LangGraph server: its list of assistants is something else")
    if wanted:
        return _named(found, wanted, base)
    if not found:
        raise LoadError(f"{base} has no assistants: deploy a graph there, or give its key with --upstream-key-file")
    if len(found) > 1:
        raise LoadError(f"{base} has several assistants, {_listed(found)}: name one, {base}#{_spelled(found[0])}")
    return Assistant(str(found[0]["assistant_id"]), _label(found[0]), _summary(found[0]))


def _named(found: Sequence[Mapping[str, Any]], wanted: str, base: str) -> Assistant:
    for each in found:
        if wanted in {each["assistant_id"], each.get("graph_id")}:
            return Assistant(wanted, _label(each), _summary(each))
    if found and len(found) < AT_MOST:
        raise LoadError(f"{base} has no assistant {wanted!r}, but {_listed(found)}: give {base}#{_spelled(found[0])}")
    return Assistant(wanted, wanted)  # a server may hide its assistants from those who may ask them all the same


def _listed(found: Sequence[Mapping[str, Any]]) -> str:
    shown = list(dict.fromkeys(map(_spelled, found)))
    return ", ".join(shown[:8]) + (", …" if len(shown) > 8 else "")


def _spelled(each: Mapping[str, Any]) -> str:
    """What stands after `#`: the graph's name for the assistant that comes with the graph, else the UUID."""
    made_by = each.get("metadata")
    of_graph = isinstance(made_by, Mapping) and made_by.get("created_by") == "system"
    return str(each["graph_id"] if of_graph and each.get("graph_id") else each["assistant_id"])


def _label(each: Mapping[str, Any]) -> str:
    return str(each.get("name") or each.get("graph_id") or each["assistant_id"])


def _summary(each: Mapping[str, Any]) -> str:
    text = each.get("description")
    return text.strip() if isinstance(text, str) else ""
