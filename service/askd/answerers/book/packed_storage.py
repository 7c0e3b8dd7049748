"""Compact in-memory storage for books with up to millions of questions.

`PackedEntryStore` keeps all texts in three UTF-8 blobs with arrays of offsets, without a Python object per text.

`CompactHashTable` maps texts to numbers without storing the texts. It takes 20 to 28 bytes per key; a dict of a million
questions takes some 250 MB. It is an open-addressed table (linear probing, at most half full: Knuth, TAOCP 3, 6.4,
algorithm L) of 64-bit hashes. Keys with equal hashes are compared as texts, which a callback restores from the number.
"""

import hashlib
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

_KEYS_PER_YIELD: Final = 500
"""Number of keys that are inserted before other threads may run."""


class PackedEntryStore:
    """Questions and answers of a book, numbered from 0 in the order in which they were added.

    Questions are numbered over the whole book, not per entry. All entries must be added before the first read.
    """

    def __init__(self) -> None:
        self._question_data = bytearray()
        self._answer_data = bytearray()
        self._field_data = bytearray()
        self._question_offsets = array("Q", [0])
        self._answer_offsets = array("Q", [0])
        self._field_offsets = array("Q", [0])
        self._entry_numbers = array("I")

    @property
    def question_count(self) -> int:
        """Number of questions; every wording of an entry counts."""
        return len(self._entry_numbers)

    @property
    def entry_count(self) -> int:
        """Number of entries, each with one answer."""
        return len(self._answer_offsets) - 1

    @property
    def total_bytes(self) -> int:
        """Size of all texts in bytes of UTF-8."""
        return len(self._question_data) + len(self._answer_data) + len(self._field_data)

    def add(self, questions: Sequence[str], answer: str, fields: Mapping[str, Any] | None = None) -> None:
        """Append one entry with the extra fields of its answer."""
        entry = len(self._answer_offsets) - 1
        self._answer_data += answer.encode()
        self._answer_offsets.append(len(self._answer_data))
        if fields:
            self._field_data += msgspec.json.encode(fields)
        self._field_offsets.append(len(self._field_data))
        for question in questions:
            self.add_question(question, entry)

    def add_question(self, question: str, entry: int) -> None:
        """Append one more wording of the question of an entry that was added before."""
        self._question_data += question.encode()
        self._question_offsets.append(len(self._question_data))
        self._entry_numbers.append(entry)

    def get_question(self, number: int) -> str:
        """Return the question as written in the book."""
        return self._question_data[self._question_offsets[number] : self._question_offsets[number + 1]].decode()

    def get_entry_number(self, question: int) -> int:
        """Return the number of the entry that the question belongs to."""
        return self._entry_numbers[question]

    def get_answer(self, question: int) -> str:
        """Return the answer to the question with this number."""
        entry = self._entry_numbers[question]
        return self._answer_data[self._answer_offsets[entry] : self._answer_offsets[entry + 1]].decode()

    def get_wordings(self, question: int) -> list[str]:
        """Return all wordings of a question that were added together with it."""
        entry, numbers = self._entry_numbers[question], self._entry_numbers
        first = last = question
        while first and numbers[first - 1] == entry:
            first -= 1
        while last + 1 < len(numbers) and numbers[last + 1] == entry:
            last += 1
        return [self.get_question(number) for number in range(first, last + 1)]

    def get_fields(self, question: int) -> Mapping[str, Any]:
        """Return the extra fields of the answer to the question with this number."""
        if not self._field_data:
            return {}
        entry = self._entry_numbers[question]
        data = self._field_data[self._field_offsets[entry] : self._field_offsets[entry + 1]]
        return msgspec.json.decode(data, type=dict[str, Any]) if data else {}

    def has_same_answer(self, first: int, second: int) -> bool:
        """Return whether two questions have equal answers, even if they belong to different entries."""
        return self._entry_numbers[first] == self._entry_numbers[second] or (
            self.get_answer(first) == self.get_answer(second)
        )

    def compute_digest(self, rules: bytes) -> str:
        """Return 12 hexadecimal digits that identify the texts, their grouping, their order and `rules`."""
        digest = hashlib.sha256(rules)
        for part in (
            self._question_offsets,
            self._answer_offsets,
            self._entry_numbers,
            self._question_data,
            self._answer_data,
            self._field_offsets,
            self._field_data,
        ):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
        return digest.hexdigest()[:12]


class CompactHashTable:
    """Hash table from texts to numbers. Call `add` for every key, then `build` once, then `find` from any thread.

    Args:
        get_key: Returns the key that was added with a number.
    """

    def __init__(self, get_key: Callable[[int], str]) -> None:
        self._get_key = get_key
        self._hashes = array("q")
        self._values = array("I")
        self._buckets = array("I", [0])
        self._mask = 0

    def __len__(self) -> int:
        return len(self._hashes)

    def add(self, key: str, number: int) -> None:
        """Add a key. If the same key is added twice, the first number wins."""
        self._hashes.append(hash(key))
        self._values.append(number)

    def build(self, on_duplicate: Callable[[int, int], None], yield_to_threads: Callable[[], None]) -> None:
        """Build the table from the added keys.

        Args:
            on_duplicate: Called with the first and the later number of each key that was added more than once.
            yield_to_threads: Called regularly, so that other threads can run.
        """
        size = 1 << (2 * len(self._hashes)).bit_length()
        self._buckets, self._mask = array("I", bytes(4 * size)), size - 1
        for start in range(0, len(self._hashes), _KEYS_PER_YIELD):
            self._insert(range(start, min(start + _KEYS_PER_YIELD, len(self._hashes))), on_duplicate)
            yield_to_threads()

    def _insert(self, positions: range, on_duplicate: Callable[[int, int], None]) -> None:
        buckets, mask, hashes = self._buckets, self._mask, self._hashes
        for position in positions:
            key_hash = hashes[position]
            bucket = key_hash & mask
            # Buckets hold position + 1, so that 0 marks an empty one.
            while occupant := buckets[bucket]:
                if hashes[occupant - 1] == key_hash and self._report_if_duplicate(occupant - 1, position, on_duplicate):
                    break
                bucket = (bucket + 1) & mask
            else:
                buckets[bucket] = position + 1

    def _report_if_duplicate(self, earlier: int, later: int, on_duplicate: Callable[[int, int], None]) -> bool:
        first, second = self._values[earlier], self._values[later]
        if self._get_key(first) != self._get_key(second):
            return False
        on_duplicate(first, second)
        return True

    def find(self, key: str) -> int | None:
        """Return the number that was added with this key, or None if the key is unknown."""
        key_hash = hash(key)
        bucket = key_hash & self._mask
        while occupant := self._buckets[bucket]:
            if self._hashes[occupant - 1] == key_hash and self._get_key(self._values[occupant - 1]) == key:
                return self._values[occupant - 1]
            bucket = (bucket + 1) & self._mask
        return None
