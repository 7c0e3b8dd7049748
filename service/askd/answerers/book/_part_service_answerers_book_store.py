"""The texts of a book, without an object for each: two blobs of UTF-8, and where each text in them begins."""

import hashlib
from array import array
from collections.abc import Sequence


class Store:
    """Questions count from 0 over the whole book, in order, and so do entries. Full before the first reader."""

    def __init__(self) -> None:
        self._questions = bytearray()
        self._answers = bytearray()
        self._question_starts = array("Q", [0])
        self._answer_starts = array("Q", [0])
        self._entries = array("I")

    @property
    def questions(self) -> int:
        """How many questions there are, counting each way of asking."""
        return len(self._entries)

    @property
    def entries(self) -> int:
        """How many answers there are."""
        return len(self._answer_starts) - 1

    @property
    def size(self) -> int:
        """Bytes of all texts."""
        return len(self._questions) + len(self._answers)

    def add(self, questions: Sequence[str], answer: str) -> None:
        """Append one entry."""
        entry = len(self._answer_starts) - 1
        self._answers += answer.encode()
        self._answer_starts.append(len(self._answers))
        for question in questions:
            self._questions += question.encode()
            self._question_starts.append(len(self._questions))
            self._entries.append(entry)

    def question(self, number: int) -> str:
        """Return the question as written in the book."""
        return self._questions[self._question_starts[number] : self._question_starts[number + 1]].decode()

    def entry(self, question: int) -> int:
        """Return the entry to which the question belongs."""
        return self._entries[question]

    def answer(self, question: int) -> str:
        """Return the answer to the question."""
        entry = self._entries[question]
        return self._answers[self._answer_starts[entry] : self._answer_starts[entry + 1]].decode()

    def same(self, one: int, other: int) -> bool:
        """Whether two questions have the same answer, be it in two entries."""
        return self._entries[one] == self._entries[other] or self.answer(one) == self.answer(other)

    def digest(self, rules: bytes) -> str:
        """Return 12 hexadecimal characters that differ where the texts, their grouping, order or `rules` do."""
        digest = hashlib.sha256(rules)
        for part in (self._question_starts, self._answer_starts, self._entries, self._questions, self._answers):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
        return digest.hexdigest()[:12]
