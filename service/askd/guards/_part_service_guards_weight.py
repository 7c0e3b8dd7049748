"""What a value takes in memory, with all that it holds."""

import gc
import sys
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Final

_PLAIN: Final = frozenset({str, bytes, int, float})
"""Hold nothing else, and are by far the most."""
_SHARED: Final = (type, ModuleType, FunctionType, BuiltinFunctionType)
"""What every object leads to and none has to itself."""
_SINGLE: Final = frozenset({id(None), id(True), id(False), id("")})
"""Of each there is one, whoever holds it."""


def weight(value: object, limit: int = sys.maxsize) -> int:
    """Return the bytes that `value` takes, each object in it counted once; stops counting when `limit` is passed.

    Objects are found as the garbage collector finds them, so that a user's own classes are weighed like lists and
    dicts, and rounded up to 16 bytes, as CPython's allocator gives them out. What others share with this value, such
    as the names of fields, is counted in full: the result errs upwards.
    """
    total = 0
    waiting, seen = [value], set(_SINGLE)
    while waiting and total <= limit:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if type(item) not in _PLAIN:
            if isinstance(item, _SHARED):
                continue
            within = gc.get_referents(item)
            waiting += within
            if isinstance(item, dict):  # keys that are all texts cannot be garbage in a ring: the collector skips them
                waiting += dict.keys(item)
            if type(item).__dictoffset__:  # attributes, which getsizeof leaves out
                total += 16 + 8 * len(within)
        total += (sys.getsizeof(item) + 15) & -16
    return total
