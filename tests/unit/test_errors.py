"""The error tree: codes, statuses, and what a client is told."""

import inspect
import re
from http import HTTPStatus

import pytest

from service import errors
from service.errors import AskdError, Problem, StartupError

CLASSES = [found for _, found in inspect.getmembers(errors, inspect.isclass) if issubclass(found, AskdError)]
PROBLEMS = [found for found in CLASSES if issubclass(found, Problem)]


def test_the_tree_drawn_is_the_tree() -> None:
    """The docstring draws every class once, each problem with its status."""
    drawn = dict(re.findall(r"[├└]── (\w+) +(\d\dx|\d{3})?", errors.__doc__ or ""))
    assert set(drawn) == {found.__name__ for found in CLASSES} - {"AskdError"}
    by_name = {found.__name__: found for found in PROBLEMS}
    for name, status in drawn.items():
        if status.isdigit():
            assert by_name[name].status == int(status)


def test_codes_are_distinct_and_stable_in_form() -> None:
    """Each problem has a code of its own, fit for a URL; the root shares the one of internal errors."""
    codes = [problem.code for problem in PROBLEMS if problem is not Problem]
    assert len(codes) == len(set(codes))
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", code) for code in codes)


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: problem.code)
def test_every_problem_is_an_error_status(problem: type[Problem]) -> None:
    """Each problem has a title and a status that HTTP knows, from 400 on."""
    assert HTTPStatus(problem.status) >= 400
    assert re.fullmatch(r"[A-Z][a-z ]+", problem.title)


def test_a_bad_question_names_the_parameter() -> None:
    """The faulty parameter is a member of the problem."""
    problem = errors.BadQuestion("q", "q is empty: give a question")
    assert (problem.detail, problem.members) == ("q is empty: give a question", {"parameter": "q"})


def test_no_answer_points_to_suggestions_where_there_are_some() -> None:
    """Suggestions are members; the text speaks of them only where there are any."""
    assert errors.NoAnswer().members == {"suggestions": []}
    assert "suggestions" not in errors.NoAnswer().detail
    assert errors.NoAnswer(["What is a port?"]).detail.endswith("See suggestions.")


def test_a_method_that_is_not_allowed_lists_those_that_are() -> None:
    """The Allow header and the text have the methods, sorted."""
    problem = errors.MethodNotAllowed("PUT", ["POST", "GET"])
    assert problem.headers == {"Allow": "GET, POST"}
    assert problem.detail == "PUT is not allowed here. Use one of: GET, POST."


def test_a_refusal_keeps_its_status() -> None:
    """What the user's code refused has the code's own status and text."""
    assert (errors.Refused(451, "No.").status, errors.Refused(451, "No.").detail) == (451, "No.")


@pytest.mark.parametrize("problem", [errors.AnswererFailed(), errors.InternalError()])
def test_a_failure_tells_the_client_nothing_internal(problem: Problem) -> None:
    """The client learns that something failed and where the cause stands, not the cause."""
    assert problem.status == 500
    assert problem.detail.endswith("Its log has the cause under this id.")


def test_unavailable_says_when_to_come_back() -> None:
    """Not now means: again in a second."""
    assert errors.Unavailable("Starting.").retry_after == 1


def test_settings_errors_have_a_line_for_each_fault() -> None:
    """All faults are kept, and the text has a line for each."""
    error = errors.SettingsError(["a", "b"])
    assert (error.faults, str(error)) == (("a", "b"), "a\nb")
    assert isinstance(error, StartupError)
