"""Finds contradictions between two questions: their negations, opposites, directions and numbers must agree.

"How do I turn on the hotspot?" and "How do I turn off the hotspot?" are similar, but the answer to one is wrong for the
other.
"""

import itertools
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final, NamedTuple

from askd.answerers.book.languages import UNSPACED_NEGATIONS, UNSPACED_OPPOSITES, Language
from askd.answerers.book.text_analysis import UNSPACED_STOP_WORDS_PATTERN, Words, split_words

_UNSPACED_NEGATIONS: Final = re.compile("|".join(UNSPACED_NEGATIONS))
_VERSIONED_NAME: Final = re.compile(r"([^\W\d]+)(\d+)")
_NUMBERS: Final = re.compile(r"(?<!\S)\d+(?:(?: \d+){2,})?(?!\S)")
"""Numbers; three or more in a row are one, such as an address, because normalization removes their dots."""
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
    words = split_words(normalized, language)
    negated_terms = _find_negated_terms(words, language)
    is_ascii = normalized.isascii()
    if not is_ascii and _UNSPACED_NEGATIONS.search(UNSPACED_STOP_WORDS_PATTERN.sub(" ", normalized)):
        negated_terms = frozenset(words.stems)
    poles = _find_poles(words, language)
    if not is_ascii:
        poles |= _find_unspaced_poles(normalized)
    return Statement(
        negated_terms=negated_terms,
        mentions_trouble=not language.trouble_words.isdisjoint(words.words),
        poles={pair: min(sides) for pair, sides in poles.items() if len(sides) == 1},
        mixed_pairs=frozenset(pair for pair, sides in poles.items() if len(sides) > 1),
        direction=_find_direction(words, language),
        numbers=frozenset(_NUMBERS.findall(" ".join(words.words))),
        versions={match[1]: match[0] for match in map(_VERSIONED_NAME.fullmatch, words.words) if match},
    )


def _find_negated_terms(question: Words, language: Language) -> frozenset[str]:
    """Return the content words after each negation in its clause, or all of the clause if none follows."""
    words, stems, _, content, clause_starts = question
    negations = [position for position, word in enumerate(words) if word in language.negations]
    if language.contracted_verbs and "t" in words:
        pairs = enumerate(itertools.pairwise(words))
        negations += [position for position, (verb, end) in pairs if end == "t" and verb in language.contracted_verbs]
    if not negations or not content:
        return frozenset(stems if negations else ())
    last = len(words) - 1 - (words[-1] == "t")  # "… or not" and "… doesn't" are no negations
    openings = {0, *clause_starts}  # nor are "can't I …" and "isn't that …"
    negations = [
        position
        for position in negations
        if not 0 < position == last
        and (position not in openings or language.pronouns.isdisjoint(words[position + 1 : position + 3]))
    ]
    negated: set[str] = set()
    for negation in negations:
        start = max((start for start in clause_starts if start <= negation), default=0)
        end = min((start for start in clause_starts if start > negation), default=len(words))
        clause = [position for position in content if start <= position < end]
        following = [position for position in clause if position > negation]
        negated.update(stems[position] for position in following[:_NEGATION_SCOPE] or clause)
    return frozenset(negated)


def _find_direction(question: Words, language: Language) -> tuple[Collection[str], str]:
    words, stems, _, content, _ = question
    for index in range(len(content) - 1, 0, -1):
        position = content[index - 1] + 1  # "to" after a stop word, as in "how to", precedes a verb
        if words[position] in language.target_words:
            return [stems[position] for position in content[max(0, index - 2) : index]], stems[content[index]]
    return (), ""


def _find_poles(question: Words, language: Language) -> dict[int, set[int]]:
    poles: dict[int, set[int]] = {}
    known = [(position, stem) for position, stem in enumerate(question.stems) if stem in language.poles]
    for position, stem in known + [(-1, verb) for verb in _find_particle_verbs(question)]:
        following = question.words[position + 1 : position + 2] if position >= 0 else ()
        is_negated = not language.negations.isdisjoint(following)  # "with no" means "without"
        for pair, side in language.poles.get(stem, ()):
            poles.setdefault(pair, set()).add(1 - side if is_negated else side)
    return poles


def _find_unspaced_poles(normalized: str) -> dict[int, set[int]]:
    sides = {
        -1 - number: {side for side, word in enumerate(opposites) if word in normalized}
        for number, opposites in enumerate(UNSPACED_OPPOSITES)
    }
    return {number: found for number, found in sides.items() if found}


def _find_particle_verbs(question: Words) -> Iterator[str]:
    """Yield "turnon" for "turn … on", and the like: "on" alone is no opposite of "off"."""
    for particles, verbs, distance in _PARTICLE_VERBS:
        for position, word in enumerate(question.words):
            if word in particles:
                preceding = question.stems[max(0, position - 1 - distance) : position]
                yield from (verbs[stem] + word for stem in preceding if stem in verbs)


def agree(asked: Statement, entry: Statement) -> bool:
    """Return whether both questions have the same one of two opposites, or negate the same word."""
    return not asked.negated_terms.isdisjoint(entry.negated_terms) or any(
        entry.poles.get(pair) == side for pair, side in asked.poles.items()
    )


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
