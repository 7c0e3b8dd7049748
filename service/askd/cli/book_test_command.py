"""`askd book`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from askd.cli.command_with_settings import to_setting_text
from askd.cli.settings_help import CONTEXT_SETTINGS
from askd.config import Settings
from askd.errors import LoadError

if TYPE_CHECKING:
    from askd.answerers.book.snapshot import BookSnapshot

_SHOWN_CASES: Final = 10
_CASE_FIELDS: Final = frozenset({"q", "expect"})
_FORMAT_HINT: Final = (
    "write a list of {q: question or questions, expect: question of the entry, or [] if there is none}"
)


class _Case(NamedTuple):
    """A question, with the questions of the entries that may answer it; none if it is out of scope."""

    question: str
    expected: list[str]


class _Result(NamedTuple):
    case: _Case
    verdict: str
    score: float
    matched: str
    is_suggested: bool


@click.group(
    "book",
    short_help="Test a book with your questions.",
    help="Test a book with your questions.",
    context_settings=CONTEXT_SETTINGS,
    no_args_is_help=False,
)
def command() -> None:
    """Group of the commands for books."""


@command.command(
    "test",
    short_help="Count right and wrong answers to your questions.",
    help="Ask BOOK the questions of the file QUESTIONS, and count right, wrong and missing answers. QUESTIONS is a "
    "YAML or JSON list of {q: question or questions, expect: question of the entry that should answer}; expect may be "
    "a list, and [] if the book has no answer.",
    context_settings=CONTEXT_SETTINGS,
)
@click.argument("book", type=click.Path(path_type=Path))
@click.argument("questions", type=click.Path(path_type=Path))
@click.option("--book-match", metavar="exact|strict|normal|eager", help="As the setting of askd serve.")
@click.option("--book-threshold", metavar="NUMBER", help="As the setting of askd serve.")
@click.option("--book-semantic/--no-book-semantic", default=None, help="As the setting of askd serve.")
@click.option("--all", "show_all", is_flag=True, help=f"List all wrong and missing answers, not only {_SHOWN_CASES}.")
def test_command(*, book: Path, questions: Path, show_all: bool, **values: str | bool | None) -> int:
    """Measure a book with one's own questions."""
    import os  # noqa: PLC0415 - not needed for help
    from threading import Event  # noqa: PLC0415 - not needed for help

    from askd.answerers.book.question_similarity import get_min_score  # noqa: PLC0415 - loads the search library
    from askd.answerers.book.snapshot_builder import load_snapshot  # noqa: PLC0415 - loads the search library

    flags = {name: to_setting_text(value) for name, value in values.items() if value is not None}
    settings = Settings.load(flags, os.environ)
    cases = list(_read_cases(questions))
    snapshot, _ = load_snapshot(book, lambda _line: None, Event())
    if settings.book_semantic:
        from askd.answerers.book.semantic_search import SentenceModel, get_vector_cache  # noqa: PLC0415 - as above

        snapshot.enable_semantic_search(SentenceModel(), get_vector_cache(book), lambda _line: None)
    min_score = get_min_score(settings.book_match, settings.book_threshold)
    results = [_ask(snapshot, case, min_score, questions) for case in cases]
    for line in _format_report(results, None if show_all else _SHOWN_CASES):
        click.echo(line)
    return 0


def _read_cases(path: Path) -> Iterator[_Case]:
    """Yield the questions of a file. Raises LoadError, whose message names the item and the fix."""
    import yaml  # noqa: PLC0415 - not needed for help

    try:
        data = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise LoadError(f"{path}: cannot be read ({error.strerror}): give a file of questions") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: an impossible date, or bytes that are not UTF-8
        raise LoadError(f"{path}: not valid YAML or JSON ({' '.join(str(error).split())}): fix the syntax") from None
    items = data.get("questions") if isinstance(data, dict) else data
    if not isinstance(items, list) or not items:
        raise LoadError(f"{path}: no list of questions: {_FORMAT_HINT}")
    for number, item in enumerate(items, 1):
        if not isinstance(item, dict) or item.keys() != _CASE_FIELDS:
            raise LoadError(f"{path}: item {number} does not have the keys q and expect: {_FORMAT_HINT}")
        asked, expected = (_to_texts(item[name]) for name in ("q", "expect"))
        if asked is None or expected is None or not asked:
            raise LoadError(f"{path}: item {number} has a value that is not a text or a list of texts: {_FORMAT_HINT}")
        yield from (_Case(question, expected) for question in asked)


def _to_texts(value: Any) -> list[str] | None:
    texts = [value] if isinstance(value, str) else value
    return texts if isinstance(texts, list) and all(isinstance(text, str) for text in texts) else None


def _ask(snapshot: "BookSnapshot", case: _Case, min_score: float, path: Path) -> _Result:
    answers = [snapshot.find_exact(question) for question in case.expected]
    if None in answers:
        missing = case.expected[answers.index(None)]
        raise LoadError(
            f"{path}: the book has no question {missing!r}: use the text of an entry's question in `expect`"
        )
    right_texts = {answer.text for answer in answers if answer}
    if exact := snapshot.find_exact(case.question):
        return _Result(case, _judge(exact.text, right_texts), 1.0, case.question, is_suggested=False)
    similar = snapshot.find_similar(case.question)
    matched = similar.answer.fields["question"] if similar.answer else ""
    answer = similar.answer.text if similar.answer and similar.score >= min_score else None
    suggested = {found.text for text in similar.suggestions if (found := snapshot.find_exact(text))}
    return _Result(
        case, _judge(answer, right_texts), similar.score, matched, is_suggested=not suggested.isdisjoint(right_texts)
    )


def _judge(answer: str | None, right_texts: set[str]) -> str:
    if answer is None:
        return "missing" if right_texts else "rejected"
    if not right_texts:
        return "out of scope"
    return "right" if answer in right_texts else "wrong"


def _format_report(results: Sequence[_Result], limit: int | None) -> Iterator[str]:
    by_verdict: dict[str, list[_Result]] = {}
    for result in sorted(results, key=lambda result: -result.score):
        by_verdict.setdefault(result.verdict, []).append(result)
    right, wrong, missing, answered, rejected = (
        len(by_verdict.get(verdict, ())) for verdict in ("right", "wrong", "missing", "out of scope", "rejected")
    )
    suggested = sum(result.is_suggested for result in by_verdict.get("missing", ()))
    yield f"right {right}, wrong {wrong}, no answer {missing} (the right entry was suggested for {suggested})"
    yield f"out of scope: {answered} of {answered + rejected} answered"
    yield (
        f"precision {right / max(1, right + wrong + answered):.2f} (right answers of all answers), "
        f"recall {right / max(1, right + wrong + missing):.2f} (right answers of the questions in scope)"
    )
    for verdict, title in (
        ("wrong", "wrong answers"),
        ("out of scope", "questions out of scope that were answered"),
        ("missing", "questions without an answer"),
    ):
        group = by_verdict.get(verdict, [])
        if group:
            yield f"\n{title}, the highest score first:"
        for result in group[:limit]:
            yield f"  {result.score:.2f}  {result.case.question}"
            yield f"        matched   {result.matched or '-'}"
            if result.case.expected:
                yield f"        expected  {' | '.join(result.case.expected)}"
        if limit is not None and len(group) > limit:
            yield f"  and {len(group) - limit} more: --all lists them"
