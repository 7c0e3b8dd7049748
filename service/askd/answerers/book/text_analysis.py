"""The terms by which questions are searched: words, their stems, and pairs of characters where words have no spaces."""

import re
from typing import Final

import tantivy

# Scripts that put no space between words, and Hangul, whose words carry endings: Lucene's CJK analyser cuts them
# into pairs of characters for the same reason.
_UNSPACED: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1100-\u11ff\u3005-\u3007\u3040-\u30ff\u3130-\u318f\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U0001b000-\U0001b16f\U00020000-\U0003ffff]+"
)
_UNSPACED_LEAD: Final = re.compile(
    "什么是|什麼是|是什么|是什麼|请问|請問|请解释|とは何ですか|とは何|とは|って何|は何ですか|무엇인가요|무엇입니까|이란"
)

_STOP_WORDS: Final = """
    a about actually an and any are as at basically be been being briefly by called can could define definition
    describe did do does doing er exactly explain for from had has have having hello hey hi how i if in into is
    it its just kindly know ll like made make makes me mean meaning means meant mine my of on or our please
    quite re really s say shall should show simply so some something stand stands such t tell term than thank
    thanks that the their them then there these they thing things this those to understand us used using ve very
    want was we were what whats when where which who whose why will wish with word work working works would you
    your
"""
STOP_WORDS: Final = frozenset(_STOP_WORDS.split())
"""English words that say how something is asked rather than what about. A question of these alone keeps them all."""

WORDS: Final = "words"
"""The field of most questions."""
PLAIN: Final = "plain"
"""The field for questions of stop words alone, which the other field would lose."""


def spaced(normal: str) -> str:
    """Return a normalised question with a space between all its terms: unspaced scripts become pairs of characters."""
    if normal.isascii():
        return normal
    subject = _UNSPACED_LEAD.sub(" ", normal)
    return _UNSPACED.sub(_pairs, subject if subject.strip() else normal)


def _pairs(run: re.Match[str]) -> str:
    text = run[0]
    pairs = (text[at : at + 2] for at in range(max(1, len(text) - 1)))
    return f" {' '.join(pairs)} "


def is_plain(normal: str) -> bool:
    """Whether a normalised question consists of stop words alone, as "who are you" does."""
    return STOP_WORDS.issuperset(normal.split())


def _analyser(*, stop: bool) -> tantivy.TextAnalyzer:
    builder = tantivy.TextAnalyzerBuilder(tantivy.Tokenizer.whitespace())
    if stop:
        builder = builder.filter(tantivy.Filter.custom_stopword(sorted(STOP_WORDS)))
        builder = builder.filter(tantivy.Filter.stemmer("english"))
    return builder.build()


ANALYSERS: Final = {WORDS: _analyser(stop=True), PLAIN: _analyser(stop=False)}
"""What makes terms of a spaced question, by field; the index and those who search it use the same."""


def analysed(normal: str) -> tuple[str, list[str]]:
    """Return the field in which a normalised question stands, and its terms there."""
    field = PLAIN if is_plain(normal) else WORDS
    return field, ANALYSERS[field].analyze(spaced(normal))
