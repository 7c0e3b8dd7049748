"""What makes two spellings one question."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.answerers.book.normalise import bare, normalise
from service.answerers.book.terms import analysed, spaced


@pytest.mark.parametrize(
    ("one", "other"),
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
def test_spellings_are_one(one: str, other: str) -> None:
    """Case, width, white space, punctuation, composition and invisible characters make no difference."""
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(
    ("one", "other"), [("C", "C++"), ("C", "C#"), ("C++", "C#"), ("हिंदी", "हद"), ("👍", "👎"), ("?", "!"), ("1", "2")]
)
def test_meanings_stay_apart(one: str, other: str) -> None:
    """Signs that belong to a word, vowel marks, emoji and lone punctuation do make a difference."""
    assert normalise(one) != normalise(other)


def test_signs_between_words_are_punctuation() -> None:
    """Plus and hash count at the end of a word only."""
    assert normalise("a+b #1 c ++ g++") == "a b 1 c g++"


@given(st.text())
def test_normalising_again_changes_nothing(text: str) -> None:
    """A normalised question is its own normal form, without space at its ends or twice in a row."""
    normal = normalise(text)
    assert normalise(normal) == normal
    assert normal == " ".join(normal.split())


@given(st.text(alphabet=st.characters(max_codepoint=127)))
def test_ascii_has_no_rules_of_its_own(text: str) -> None:
    """The quick way for ASCII gives what the way for all of Unicode gives."""
    assert normalise(text + " é") == f"{normalise(text)} é".strip() or not any(map(str.isalnum, text))


@given(st.text(alphabet=st.characters()))
def test_every_text_can_be_searched(text: str) -> None:
    """Any text, lone surrogates included, makes terms."""
    field, terms = analysed(normalise(text))
    assert field in {"words", "plain"}
    assert all(terms)


@pytest.mark.parametrize(
    "lead",
    ["what is", "What's", "whats a", "what are the", "Define", "explain", "Please describe", "Can you tell me what is"],
)
def test_a_lead_is_left_out(lead: str) -> None:
    """What only says that something is asked can be taken off."""
    assert bare(normalise(f"{lead} load balancer?")) == "load balancer"


def test_a_lead_alone_stays() -> None:
    """A question that is nothing but a lead keeps it."""
    assert bare("what is") == "what is"
    assert bare("define") == "define"


def test_languages_without_spaces_become_pairs() -> None:
    """Chinese, Japanese, Korean and Thai are searched by pairs of characters, the question words left out."""
    assert spaced("什么是服务器").split() == ["服务", "务器"]
    assert spaced("サーバーとは何ですか").split() == ["サー", "ーバ", "バー"]
    assert spaced("tcp 连接").split() == ["tcp", "连接"]
    assert spaced("什么是").split() == ["什么", "么是"]
