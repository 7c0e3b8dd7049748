"""Finds contradictions between two questions: their negations, opposites, directions and numbers must agree.

"How do I turn on the hotspot?" and "How do I turn off the hotspot?" are similar, but the answer to one is wrong for the
other.
"""

import itertools
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final, NamedTuple

from askd.answerers.book.languages import UNSPACED_NEGATIONS, UNSPACED_OPPOSITES, Language
from askd.answerers.book.text_analysis import UNSPACED_STOP_WORDS_PATTERN, Words, separate_terms, split_words

_UNSPACED_NEGATIONS: Final = re.compile("|".join(UNSPACED_NEGATIONS))
_VERSIONED_NAME: Final = re.compile(r"([^\W\d]+)(\d+)")
_NEGATION_SCOPE: Final = 2
"""Number of content words after a negation to which it refers."""
_PARTICLE_VERBS: Final = (
    # particles, stems of verbs, and the number of words that may stand between them
    (frozenset({"on", "off"}), {"turn": "turn", "switch": "turn", "power": "turn"}, 3),
    (frozenset({"in", "out"}), {"opt": "opt", "log": "log", "sign": "sign", "zoom": "zoom"}, 0),
    (frozenset({"up", "down"}), {"scale": "scale"}, 3),
)
"""English verbs whose particle decides their meaning; in `languages.yaml` they are "turnon" and the like."""


class Statement(NamedTuple):
    """The parts of a question that another question can contradict."""

    negated_terms: frozenset[str]
    """The terms to which negations refer; empty without a negation."""
    mentions_trouble: bool
    poles: Mapping[int, int]
    """For each pair of opposites of which exactly one is in the question: which one, 0 or 1."""
    mixed_pairs: frozenset[int]
    """The pairs of opposites of which both are in the question."""
    direction: tuple[Collection[str], str]
    """Of "from A to B": the terms before "to", and the term after it; both empty without such a preposition."""
    numbers: frozenset[str]
    versions: Mapping[str, str]
    """Words that end in a number, such as "ipv6", by the part before the number."""


class TermMatch(NamedTuple):
    """Terms of an entry's question that mean the same as a term of the asked question."""

    asked: str
    entry: tuple[str, ...]
    negated_side: str = ""
    """Side that has a negating prefix, as in "unsupported": "asked", "entry" or empty."""


def find_statement(normalized: str, language: Language) -> Statement:
    """Return the parts of a normalized question that another question can contradict."""
    text = separate_terms(normalized)
    words = split_words(text, language)
    negated_terms = _find_negated_terms(words, language)
    if text != normalized and _UNSPACED_NEGATIONS.search(UNSPACED_STOP_WORDS_PATTERN.sub(" ", normalized)):
        negated_terms = frozenset(words.stems)
    poles = _find_poles(normalized, words, language)
    return Statement(
        negated_terms=negated_terms,
        mentions_trouble=not language.trouble_words.isdisjoint(words.words),
        poles={pair: min(sides) for pair, sides in poles.items() if len(sides) == 1},
        mixed_pairs=frozenset(pair for pair, sides in poles.items() if len(sides) > 1),
        direction=_find_direction(words, language),
        numbers=frozenset(filter(str.isdecimal, words.words)),
        versions={match[1]: match[0] for match in map(_VERSIONED_NAME.fullmatch, words.words) if match},
    )


def _find_negated_terms(question: Words, language: Language) -> frozenset[str]:
    """Return the content words after each negation, or all words if none follows."""
    words, stems, _, content = question
    negations = [position for position, word in enumerate(words) if word in language.negations]
    negations += [
        position
        for position, pair in enumerate(itertools.pairwise(words))
        if pair[1] == "t" and pair[0] in language.contracted_verbs
    ]
    if not negations:
        return frozenset()
    following = [[stems[position] for position in content if position > negation] for negation in negations]
    return frozenset(term for terms in following for term in terms[:_NEGATION_SCOPE]) or frozenset(stems)


def _find_direction(question: Words, language: Language) -> tuple[Collection[str], str]:
    words, stems, _, content = question
    for index in range(len(content) - 1, 0, -1):
        position = content[index - 1] + 1  # "to" after a stop word, as in "how to", precedes a verb
        if words[position] in language.target_words:
            return [stems[position] for position in content[max(0, index - 2) : index]], stems[content[index]]
    return (), ""


def _find_poles(normalized: str, question: Words, language: Language) -> dict[int, set[int]]:
    poles: dict[int, set[int]] = {}
    words = itertools.zip_longest(question.stems, question.words[1:])
    for stem, next_word in [*words, *((verb, None) for verb in _find_particle_verbs(question))]:
        is_negated = next_word in language.negations  # "with no" means "without"
        for pair, side in language.poles.get(stem, ()):
            poles.setdefault(pair, set()).add(1 - side if is_negated else side)
    for number, opposites in enumerate(UNSPACED_OPPOSITES):
        if sides := {side for side, word in enumerate(opposites) if word in normalized}:
            poles[-1 - number] = sides
    return poles


def _find_particle_verbs(question: Words) -> Iterator[str]:
    """Yield "turnon" for "turn … on", and the like: "on" alone is no opposite of "off"."""
    for position, word in enumerate(question.words):
        for particles, verbs, distance in _PARTICLE_VERBS:
            if word in particles:
                preceding = question.stems[max(0, position - 1 - distance) : position]
                yield from (verbs[stem] + word for stem in preceding if stem in verbs)


def agree(asked: Statement, entry: Statement) -> bool:
    """Return whether both questions have the same one of two opposites."""
    return any(entry.poles.get(pair) == side for pair, side in asked.poles.items())


def contradict(asked: Statement, entry: Statement, matches: Collection[TermMatch]) -> bool:
    """Return whether the answer to an entry's question would be wrong for the asked question.

    Args:
        asked: Statement of the asked question.
        entry: Statement of the entry's question.
        matches: The terms that both questions have. A negation of other terms is no contradiction.
    """
    (asked_sources, asked_target), (entry_sources, entry_target) = asked.direction, entry.direction
    return (
        any(entry.poles.get(pair, side) != side for pair, side in asked.poles.items())
        or bool(asked.numbers and entry.numbers and asked.numbers.isdisjoint(entry.numbers))
        or any(entry.versions.get(name, word) != word for name, word in asked.versions.items())
        or (asked_target != entry_target and asked_target in entry_sources and entry_target in asked_sources)
        or _differ_in_negation(asked, entry, matches)
    )


def _differ_in_negation(asked: Statement, entry: Statement, matches: Collection[TermMatch]) -> bool:
    asked_negates = any(match.negated_side == "asked" or match.asked in asked.negated_terms for match in matches)
    entry_negates = any(
        match.negated_side == "entry" or not entry.negated_terms.isdisjoint(match.entry) for match in matches
    )
    if asked_negates and not (entry_negates or entry.negated_terms):
        return not _may_be_negative(entry)
    if entry_negates and not (asked_negates or asked.negated_terms):
        return not _may_be_negative(asked)
    return False


def _may_be_negative(statement: Statement) -> bool:
    """Return whether a question without a negation may have the meaning of one with a negation."""
    return bool(statement.mentions_trouble or statement.mixed_pairs or 1 in statement.poles.values())
