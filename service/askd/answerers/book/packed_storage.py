"""A dictionary from texts to numbers that does not hold the texts: 20 to 28 bytes for each key.

A dict of a million questions takes some 250 MB. Here an open-addressed table (linear probing, at most half full:
Knuth, TAOCP 3, 6.4, algorithm L) points to hashes of 64 bits, and what has the same hash is compared as text, which
`key` makes anew from the number.
"""

from array import array
from collections.abc import Callable
from typing import Final

_STEP: Final = 500
"""Keys that are entered between two pauses."""


class Lookup:
    """First `note` every key with its number, then `settle`, then `find` from any thread."""

    def __init__(self, key: Callable[[int], str]) -> None:
        self._key = key
        self._hashes = array("q")
        self._numbers = array("I")
        self._slots = array("I", [0])
        self._mask = 0

    def __len__(self) -> int:
        return len(self._hashes)

    def note(self, key: str, number: int) -> None:
        """Take up a key that is to be found as `number`; the earlier number wins where two have one key."""
        self._hashes.append(hash(key))
        self._numbers.append(number)

    def settle(self, clash: Callable[[int, int], None], pause: Callable[[], None]) -> None:
        """Make what was noted findable. `clash` gets the earlier and the later number of each key noted twice."""
        size = 1 << (2 * len(self._hashes)).bit_length()
        self._slots, self._mask = array("I", bytes(4 * size)), size - 1
        for start in range(0, len(self._hashes), _STEP):
            self._enter(range(start, min(start + _STEP, len(self._hashes))), clash)
            pause()

    def _enter(self, positions: range, clash: Callable[[int, int], None]) -> None:
        slots, mask, hashes = self._slots, self._mask, self._hashes
        for position in positions:
            hashed = hashes[position]
            slot = hashed & mask
            while taken := slots[slot]:
                if hashes[taken - 1] == hashed and self._clashes(taken - 1, position, clash):
                    break
                slot = (slot + 1) & mask
            else:
                slots[slot] = position + 1

    def _clashes(self, earlier: int, later: int, clash: Callable[[int, int], None]) -> bool:
        first, second = self._numbers[earlier], self._numbers[later]
        if self._key(first) != self._key(second):
            return False
        clash(first, second)
        return True

    def find(self, key: str) -> int | None:
        """Return the number noted with this key, None if there is none."""
        hashed = hash(key)
        slot = hashed & self._mask
        while taken := self._slots[slot]:
            if self._hashes[taken - 1] == hashed and self._key(self._numbers[taken - 1]) == key:
                return self._numbers[taken - 1]
            slot = (slot + 1) & self._mask
        return None
