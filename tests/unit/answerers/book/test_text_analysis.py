"""Tests of normalization, question leads and search terms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from askd.answerers.book.languages import LANGUAGES, assign_languages
from askd.answerers.book.text_analysis import analyze, normalize, separate_terms, strip_question_lead


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("What is TCP?", "what is tcp"),
        ("  What\tis\n TCP ?! ", "what is tcp"),
        ("Ｗｈａｔ ｉｓ ＴＣＰ？", "what is tcp"),
        ("STRASSE", "straße"),
        ("cafe\u0301", "CAFÉ"),
        ("load-balancer", "load balancer"),
        ("what’s up", "what's up"),
        ("`kubectl`", "kubectl"),
        ("ASKD_PORT", "askd port"),
        ("soft\u00adware", "software"),
        ("a\ufeffb", "ab"),
    ],
)
def test_spellings_are_equal(first: str, second: str) -> None:
    """Differences in case, width, whitespace, punctuation, composition and invisible characters are ignored."""
    assert normalize(first) == normalize(second)


@pytest.mark.parametrize(
    ("first", "second"),
    [("C", "C++"), ("C", "C#"), ("C++", "C#"), ("हिंदी", "हद"), ("👍", "👎"), ("?", "!"), ("1", "2")],
)
def test_different_meanings_are_different(first: str, second: str) -> None:
    """Signs that belong to a word, vowel marks, emoji and lone punctuation are significant."""
    assert normalize(first) != normalize(second)


def test_signs_between_words_are_punctuation() -> None:
    """Plus and hash signs are only kept at the end of a word."""
    assert normalize("a+b #1 c ++ g++") == "a b 1 c g++"


@given(st.text())
def test_normalize_is_idempotent(text: str) -> None:
    """Normalizing twice has the same result, with single spaces and none at the ends."""
    normalized = normalize(text)
    assert normalize(normalized) == normalized
    assert normalized == " ".join(normalized.split())


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_ascii_and_unicode_paths_agree(text: str) -> None:
    """The fast path for ASCII has the same result as the general one."""
    assert normalize(text + " é") == f"{normalize(text)} é".strip() or not any(map(str.isalnum, text))


@given(st.text(alphabet=st.characters()))
def test_every_text_can_be_searched(text: str) -> None:
    """Any text can be analyzed, even with lone surrogates."""
    analysis = analyze(normalize(text), LANGUAGES["english"])
    assert all(analysis.terms)
    assert bool(analysis.terms) == bool(normalize(text))


@pytest.mark.parametrize(
    "lead",
    ["what is", "What's", "whats a", "what are the", "Define", "explain", "Please describe", "Can you tell me what is"],
)
def test_question_lead_is_stripped(lead: str) -> None:
    """Words before the subject of a question are removed."""
    assert strip_question_lead(normalize(f"{lead} load balancer?")) == "load balancer"


def test_question_lead_alone_is_kept() -> None:
    """A question that consists of a lead only is not changed."""
    assert strip_question_lead("what is") == "what is"
    assert strip_question_lead("define") == "define"


def test_unspaced_scripts_become_bigrams() -> None:
    """Scripts without spaces are split into pairs of characters, without the question words."""
    assert separate_terms("什么是服务器").split() == ["服务", "务器"]
    assert separate_terms("サーバーとは何ですか").split() == ["サー", "ーバ", "バー"]
    assert separate_terms("tcp 连接").split() == ["tcp", "连接"]
    assert separate_terms("什么是").split() == ["什么", "么是"]


def assign(texts: list[str]) -> list[str]:
    """Return the names of the languages of texts."""
    languages = assign_languages(len(texts), lambda index: normalize(texts[index]).split(), LANGUAGES["english"])
    return [language.name for language in languages]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("english", "How do I get there and where is the door?"),
        ("german", "Wie komme ich dorthin und wo ist die Tür?"),
        ("french", "Comment puis-je y aller et où est la porte ?"),
        ("spanish", "¿Cómo puedo llegar y dónde está la puerta?"),
        ("italian", "Come posso arrivare e dove si trova la porta?"),
        ("portuguese", "Como posso chegar lá e onde fica a porta?"),
        ("dutch", "Hoe kom ik daar en waar is de deur?"),
        ("russian", "Как мне туда попасть и где находится дверь?"),
        ("arabic", "كيف أصل إلى هناك وأين هو الباب؟"),
    ],
)
def test_languages_are_detected(language: str, text: str) -> None:
    """The stop words of a text show its language."""
    assert assign([text]) == [language]


def test_languages_of_a_mixed_book() -> None:
    """Texts without known words have the language of the text before, or of the book."""
    english, german = "Where is the door and how do I get there?", "Wo ist die Tür und wie komme ich dorthin?"
    assert assign([english, "TCP", german, "UDP"]) == ["english", "english", "german", "german"]
    assert assign([german] * 30 + [english] + ["TCP"]) == ["german"] * 32
    assert assign(["TCP"]) == ["english"]


@pytest.mark.parametrize(
    ("question", "terms"),
    [
        ("Wie schalte ich das Licht ein?", ("einschalt", "licht")),
        ("Das Licht einschalten", ("licht", "einschalt")),
        ("Wie kann ich es tun?", ("wie", "kann", "ich", "es", "tun")),
    ],
)
def test_german_verbs_with_separated_prefix(question: str, terms: tuple[str, ...]) -> None:
    """A prefix at the end belongs to the verb; a question of stop words keeps them."""
    assert analyze(normalize(question), LANGUAGES["german"]).terms == terms
