"""Tests of normalization, question leads and search terms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    field, terms = analyze(normalize(text))
    assert field in {"words", "plain"}
    assert all(terms)


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
